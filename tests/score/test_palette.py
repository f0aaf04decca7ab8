from evensong.score import palette
from evensong.voice import ensemble
from evensong.voice.fusion import METHODS


def test_no_two_things_share_a_colour_and_grey_is_kept_for_chance():
    methods = [palette.method(name) for name in [*METHODS, *ensemble.NAMES]]
    series = [palette.series(place) for place in range(20)]
    subdbs = [palette.subdb(number) for number in range(1, 10)]
    for colours in (series, [*subdbs, *set(methods)]):
        assert len(set(colours)) == len(colours)
        assert palette.GREY not in colours
    assert len(set(methods)) == len(ensemble.NAMES)
    assert palette.series(20) == palette.series(0)
