"""Sans-IO cores: bytes and answers in, actions and questions out; time and randomness come as arguments."""
