"""smtpctl/see/drawing.py: an SVG that parses, an arrow for each message, nothing of others' making."""

from xml.etree import ElementTree

from traffic import MESSAGES_OF_A_MAIL, Traffic

from smtpctl.see.drawing import COLOURS, COLUMN, LEFT, SLOPE, colour_of, svg
from smtpctl.see.flow import Flow, flow_of, join
from smtpctl.see.joining import Message
from smtpctl.see.seen import OUT, Seen
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.pony_lookup import ReverseName

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'p"><script>x</script>'


def drawn(flow: Flow) -> ElementTree.Element:
    return ElementTree.fromstring("\n".join(svg(flow)))


def test_a_mail() -> None:
    flow = flow_of(join(Traffic().mail(0xCB4DE24F, 7)), "cb4de24f")
    root = drawn(flow)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[0] == "mail cb4de24f"
    assert [name for name in texts if name in COLOURS] == flow.processes
    groups = list(root.iter(f"{SVG}g"))
    assert len(groups) == MESSAGES_OF_A_MAIL
    titles = [group.findtext(f"{SVG}title") or "" for group in groups]
    assert titles[0] == (
        "pony → lookup: ReverseName #1\naddress=192.0.2.1\nsession=0000000000000007\n50 µs in the socket"
    )
    assert len([path for path in root.iter(f"{SVG}path") if path.get("class") == "a r"]) == 11
    assert "IncomingOpened ⊕" in texts and "after 150 µs" in texts
    assert int(root.get("width", "0")) == LEFT + COLUMN * len(flow.processes) + 20


def test_every_arrow_has_its_head_and_falls_little() -> None:
    root = drawn(Flow("slow", join(Traffic(10**12).mail(0xCB4DE24F, 7))))
    heads = {f"url(#{marker.get('id')})" for marker in root.iter(f"{SVG}marker")}
    paths = [path for path in root.iter(f"{SVG}path") if path.get("marker-end")]
    assert len(paths) == MESSAGES_OF_A_MAIL and {path.get("marker-end") for path in paths} <= heads
    for path in paths:
        begin, end = (float(point.split()[1]) for point in path.get("d", "")[1:].split("L"))
        assert 0 <= end - begin <= SLOPE


def test_what_others_wrote_is_text() -> None:
    number, payload = CATALOGUE.encode(ReverseName("</title><script>&", 7))
    message = Message(Seen(1, HOSTILE, "lookup", OUT, number, 16 + len(payload), 1, 2, payload))
    root = drawn(Flow("<b>&", [message]))
    assert not list(root.iter(f"{SVG}script"))
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert "address=</title><script>&" in titles[0] and HOSTILE in titles[0]


def test_nothing() -> None:
    assert not list(drawn(Flow("nothing", [])).iter(f"{SVG}g"))


def test_instances_have_the_colour_of_their_kind() -> None:
    assert colour_of("pony2") == colour_of("pony") == COLOURS["pony"]
    assert colour_of("?") == "#444"
