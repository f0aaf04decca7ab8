"""Proposed patterns: what they find, in how many names, and that none is hidden."""

import re

from hypothesis import given
from hypothesis import strategies as st

from evensong.importing.patterns import KNOWN, candidates, fold_pattern


def in_class(*names: str) -> dict[str, str]:
    return {f"owl/{name}.wav": "owl" for name in names}


def test_what_databases_and_people_write() -> None:
    for names, pattern, n_sources in (
        (("1-17367-A-10", "1-17367-B-10", "2-5-A-0"), r"^\d-(\d+)-", 2),
        (("XC12345 - Tawny Owl - Strix aluco", "XC12345 - b", "XC9 - Tawny"), r"^(XC\d+)", 2),
        (("owl_03_take2", "owl_03_take3", "owl_04_take1"), r"^(.+?)_take\d+$", 2),
        (("A1_20240601_210000", "A1_20240601_220000", "B2_20240601_210000"), r"^(.+?)_\d{8}[_T]\d{6}", 2),
        (("20240601_210000", "20240601_220000", "20240602_010000"), r"^(?:.*_)?(\d{8})[_T]\d{6}", 2),
        (("nest clip 1", "nest clip 2", "pond clip 1"), next(one for one in KNOWN if "segment" in one), 2),
        (("nest-1", "nest-2", "pond-1"), r"^(.+?)[-_ ]\(?\d+\)?$", 2),
    ):
        first = candidates(in_class(*names))[0]
        assert (first.pattern, first.n_sources, first.fits) == (pattern, n_sources, True)


def test_names_that_say_nothing_get_no_pattern() -> None:
    (only,) = candidates(in_class("a", "b", "c"))
    assert (only.pattern, only.n_sources, only.n_largest, only.fits) == (None, 3, 1, True)


def test_a_pattern_that_misses_a_name_is_shown_with_its_count_and_does_not_fit() -> None:
    found = candidates(in_class("owl_03_take2", "owl_03_take3", "other_take1", "x"))
    take = next(one for one in found if one.pattern == r"^(.+?)_take\d+$")
    assert (take.n_found, take.n_clips, take.fits) == (3, 4, False)
    assert found[-1].pattern is None


def test_an_own_pattern_stands_first_even_where_it_fits_badly() -> None:
    first = candidates(in_class("owl_03_take2", "owl_03_take3", "x"), r"(owl)")[0]
    assert (first.pattern, first.n_found, first.n_sources, first.n_largest) == ("(owl)", 2, 1, 2)


def test_classes_of_few_sources_and_sources_of_several_classes_are_counted() -> None:
    names = {"owl/a_take1.wav": "owl", "owl/b_take1.wav": "owl", "owl/c_take1.wav": "owl"}
    names |= {"rain/a_take2.wav": "rain", "rain/d_take1.wav": "rain"}
    first = candidates(names)[0]
    assert (first.few, first.shared) == (["rain"], 1)


def test_folds_are_found_only_where_every_name_has_the_tables_own() -> None:
    assert fold_pattern({"1-17-A.wav": "1", "5-9-A.wav": "5"}) == r"^(\d)-"
    assert fold_pattern({"a_fold3.wav": "3"}) == r"[-_][Ff]old_?(\d+)"
    assert fold_pattern({"1-17-A.wav": "1", "5-9-A.wav": "4"}) is None
    assert fold_pattern({}) is None


@given(st.lists(st.from_regex(r"[A-Za-z0-9_ -]{1,12}", fullmatch=True), min_size=1, max_size=8, unique=True))
def test_counts_are_those_of_the_pattern_itself(names: list[str]) -> None:
    found = candidates(in_class(*names))
    assert found[-1].pattern is None
    assert [one.fits for one in found] == sorted((one.fits for one in found), reverse=True)
    for one in found[:-1]:
        values = [match[1] for name in names if (match := re.search(one.pattern or "", name)) and match[1]]
        assert (one.n_found, one.n_sources) == (len(values), len(set(values)))
        assert one.n_sources < one.n_found
