import pytest

from evensong.errors import DataError
from evensong.night.sources import assign_sources, read_groups

DIGESTS = {"owl/1-100-A.ogg": "a" * 64, "owl/1-100-B.ogg": "b" * 64, "crow/2-7-A.ogg": "c" * 64}


def groups_file(tmp_path, text):
    path = tmp_path / "groups.csv"
    path.write_bytes(text.encode())
    return path


def test_assign_sources_pattern_takes_its_group():
    found = assign_sources(DIGESTS, pattern=r"^\d-(\d+)-", groups=None)
    assert found == {"owl/1-100-A.ogg": "100", "owl/1-100-B.ogg": "100", "crow/2-7-A.ogg": "7"}


def test_assign_sources_pattern_searches_the_stem_only():
    assert assign_sources({"a_take1/x_b.wav": "0" * 64}, pattern=r"(b)$", groups=None) == {"a_take1/x_b.wav": "b"}


def test_assign_sources_pattern_without_a_match_names_the_first_three():
    digests = {f"owl/clip{n}.wav": str(n) * 64 for n in range(5)}
    with pytest.raises(DataError, match=r"5 of 5 clips .*owl/clip0.wav, owl/clip1.wav, owl/clip2.wav, \.\.\..*pattern"):
        assign_sources(digests, pattern=r"^(\d+)-", groups=None)


def test_assign_sources_empty_capture_is_no_source():
    with pytest.raises(DataError, match="1 of 1 clips"):
        assign_sources({"owl/-x.wav": "0" * 64}, pattern=r"^(\d*)-", groups=None)


@pytest.mark.fault("C05")
def test_assign_sources_missing_row_in_the_table():
    with pytest.raises(DataError, match=r"1 of 3 clips without a source \(crow/2-7-A.ogg\): not in groups.csv"):
        assign_sources(DIGESTS, pattern=None, groups={"owl/1-100-A.ogg": "s", "owl/1-100-B.ogg": "s"})


def test_read_groups_with_bom_crlf_and_other_columns(tmp_path):
    text = '\ufeffsite,path,source_id\r\nx,"owl/a, b.wav", s1 \r\ny,owl\\c.wav,s2\r\n'
    assert read_groups(groups_file(tmp_path, text)) == {"owl/a, b.wav": "s1", "owl/c.wav": "s2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,source\nowl/a.wav,s\n", r"missing column\(s\) source_id; found path, source"),
        ("path,source_id\nowl/a.wav,\n", "line 2: path and source_id must both"),
        ("path,source_id\nowl/a.wav,s\nowl/a.wav,t\n", "line 3: a second source"),
        ("path,source_id\nowl/a.wav,s\x07\n", "control character"),
    ],
)
def test_read_groups_faults_name_the_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_groups(groups_file(tmp_path, text))
