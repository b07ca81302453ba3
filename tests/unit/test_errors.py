from bicameral.errors import UserError, unknown_name


def test_an_unknown_name_is_answered_with_the_known_ones_and_a_suggestion():
    error = unknown_name("weather", "nigth", ["clear", "night"])
    assert isinstance(error, UserError)
    assert "clear, night" in str(error)
    assert "Did you mean 'night'?" in str(error)


def test_a_name_like_no_other_gets_no_suggestion():
    assert "Did you mean" not in str(unknown_name("weather", "xyzzy", ["clear"]))
