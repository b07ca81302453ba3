import pytest

from bicameral.files import hidden_folder_beside, write_bytes_atomic, write_json_atomic


def test_a_file_appears_whole_and_leaves_no_temporary(tmp_path):
    target = tmp_path / "deep" / "file.bin"
    write_bytes_atomic(target, b"content")
    assert target.read_bytes() == b"content"
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_value_that_is_no_json_keeps_the_old_file(tmp_path):
    target = tmp_path / "file.json"
    write_json_atomic(target, {"a": 1})
    before = target.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(target, {"a": float("nan")})
    assert target.read_bytes() == before


def test_a_hidden_folder_stays_if_it_was_renamed_and_goes_if_not(tmp_path):
    target = tmp_path / "deep" / "folder"
    with hidden_folder_beside(target) as hidden:
        (hidden / "file").write_text("whole")
        hidden.replace(target)
    assert (target / "file").read_text() == "whole"
    with pytest.raises(RuntimeError), hidden_folder_beside(target):
        raise RuntimeError
    assert list(target.parent.iterdir()) == [target]
