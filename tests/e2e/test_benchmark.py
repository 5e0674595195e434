# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arithmetic, configurations and pictures. Needs no gateway."""

import xml.etree.ElementTree as tree

import pytest
import yaml
from benchmark import configs, growth, measures, report, svg


def results(**rates):
    found = measures.Results()
    for name, rounds in rates.items():
        found.runs[(name, "json")] = [{"rps": rate} for rate in rounds]
    return found


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds():
    # The machine was three times as slow in the second round, for both.
    assert results(envoy=[300, 100, 300], tollgate=[150, 50, 180]).ratio("tollgate", "envoy", "json") == 0.5


def test_what_failed_in_a_round_has_no_ratio():
    found = results(envoy=[300, 300], tollgate=[150, 150])
    found.failed[("tollgate", "json")] = "cut"
    assert found.ratio("tollgate", "envoy", "json") is None
    assert not found.is_whole


@pytest.mark.parametrize(("value", "word"), [(0.56, "met"), (0.54, "MISSED"), (None, "not measured")])
def test_a_target_says_whether_it_is_met(value, word):
    assert word in report.Target("json", value, 0.55, "x", is_least=True).line()


def test_every_target_has_a_line_without_any_measurement():
    assert {each.line().rpartition("|")[0].rpartition("|")[2].strip() for each in report.targets({})} <= {
        "not measured", "met", "**MISSED**"}  # fmt: skip
    assert len(report.targets({})) >= 11


def test_a_slope_is_the_cost_of_one_more():
    curve = growth.Curve("streams", "Events", "events")
    curve.points["envoy"] = {10: 100.0, 110: 300.0}
    assert curve.slope("envoy", 10, 110) == 2.0
    assert report.event_cost({"streams": curve}) == {"envoy": 2.0}


def test_features_are_what_the_gateway_is_told():
    found = yaml.safe_load(configs.Features(keys=3, limits=4, routes=5).gateway_yaml())
    assert len(found["identity"]["api_keys"]) == 3 and len(found["limits"]) == 4
    assert len(found["models"]) == 2 + 5
    off = yaml.safe_load(configs.OFF.gateway_yaml())
    assert off["identity"] == {"allow_anonymous": True} and "limits" not in off


def test_a_chart_is_xml_with_each_curve_named_and_inside():
    curves = {"a < b": {0: 10.0, 1: 20.0, 16: 40.0}, "other": {0: 10.0, 16: 41.0}}
    root = tree.fromstring(svg.chart("Limits", "limits", "us", curves))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "other", "Limits", "0"} <= set(texts)
    for line in root.iter("{http://www.w3.org/2000/svg}polyline"):
        for pair in line.get("points").split():
            x, y = map(float, pair.split(","))
            assert svg.LEFT <= x <= svg.WIDTH - svg.RIGHT and svg.TOP <= y <= svg.HEIGHT - svg.BOTTOM


def test_labels_do_not_cover_each_other():
    heights = [y for y, _ in svg.spread_out([(100, "a"), (101, "b"), (99, "c")])]
    assert all(later - earlier >= 15 for earlier, later in zip(heights, heights[1:]))
