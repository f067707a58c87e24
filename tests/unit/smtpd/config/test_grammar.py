from smtpd.config.grammar import MAX_ERRORS


def test_empty_lines_and_comments(parse) -> None:
    assert parse("\n\n# x\n   \nadmd a\n").admd == "a"


def test_include(parse) -> None:
    assert parse('include "/more.conf"').admd == "more.example"


def test_include_refused(refused) -> None:
    (error,) = refused('include "/nope"')
    assert error.message == "failed to include file /nope"
    assert error.hint == "No such file or directory"


def test_macro(parse, refused) -> None:
    assert parse('a = "x"\nadmd $a').admd == "x"
    assert refused('"a b" = x')[0].message == "macro name cannot contain whitespace"


def test_a_reserved_word_is_no_macro(refused) -> None:
    (error,) = refused('port = "25"\nlisten on lo port $port')
    assert (error.line, "cannot be the name of a macro" in error.hint) == (1, True)


def test_unknown_statement(refused) -> None:
    (error,) = refused("mach for any reject")
    assert error.message == 'syntax error: unknown statement "mach"'
    assert error.hint == 'did you mean "match"?'


def test_words_that_begin_no_statement(refused) -> None:
    assert refused("tls")[0].message == 'syntax error: "tls" does not begin a statement'
    assert refused("{")[0].message == 'syntax error at "{", where a statement belongs'


def test_words_after_a_statement(refused) -> None:
    assert refused("admd a b")[0].message == 'syntax error at "b"'


def test_all_faults_are_told(refused) -> None:
    errors = refused("lisen\nadmd\nqueue ttl x\nadmd good\nmta max-deferred x")
    assert [error.line for error in errors] == [1, 2, 3, 5]


def test_a_list_is_one_statement(refused) -> None:
    errors = refused("table t { a = b\nc\nd = e\nmatch2 = f }\nlisen")
    assert [error.line for error in errors] == [2, 5]


def test_a_brace_without_end(refused) -> None:
    errors = refused("table t { a,\nb\nlisten on lo\nlisen")
    assert [error.line for error in errors] == [3, 4]


def test_crlf_is_told_once(refused) -> None:
    errors = refused("admd a\r\nadmd b\r\nlisen\r\nmatch reject\r\n")
    assert [(error.line, error.message) for error in errors] == [
        (1, "syntax error: carriage return"),
        (3, 'syntax error: unknown statement "lisen"'),
    ]


def test_faults_are_bounded(refused) -> None:
    assert len(refused("x\n" * 10 * MAX_ERRORS)) == MAX_ERRORS
