"""Path templates and the router (google.api.http)."""

from __future__ import annotations

import pytest

from gateway.http_rules import (
    Match,
    MethodMismatch,
    PathEncodingError,
    Router,
    TemplateError,
    compile_template,
)


def routed(*templates: str) -> Router[str]:
    """A router whose targets are the templates themselves."""
    router: Router[str] = Router()
    for template in templates:
        router.add("GET", compile_template(template), template)
    return router


@pytest.mark.parametrize(
    ("template", "path", "variables"),
    [
        ("/v1/jobs", "/v1/jobs", {}),
        ("/v1/jobs/{job_id}", "/v1/jobs/42", {"job_id": "42"}),
        ("/v1/jobs/{job.id}/logs", "/v1/jobs/42/logs", {"job.id": "42"}),
        ("/v1/{name=shelves/*}/books", "/v1/shelves/7/books", {"name": "shelves/7"}),
        ("/v1/{name=shelves/*/books/*}", "/v1/shelves/7/books/8", {"name": "shelves/7/books/8"}),
        ("/v1/files/{path=**}", "/v1/files/a/b/c", {"path": "a/b/c"}),
        ("/v1/*/jobs/{job_id}", "/v1/x/jobs/1", {"job_id": "1"}),
        ("/v1/storyboards:plan", "/v1/storyboards:plan", {}),
        ("/v1/jobs/{job_id}:remix", "/v1/jobs/42:remix", {"job_id": "42"}),
        ("/v1/jobs/{job_id}", "/v1/jobs/a%2Fb%20c", {"job_id": "a/b c"}),
        ("/v1/jobs/{job_id}", "/v1/jobs/%C3%BC", {"job_id": "ü"}),
        ("/v1/jobs/{job_id}", "/v1/jobs/urn:x:42", {"job_id": "urn:x:42"}),
        ("/v1/files/{path=**}:read", "/v1/files/a/b:read", {"path": "a/b"}),
        ("/v1/files/{path=**}:read", "/v1/files:read", {"path": ""}),
        ("/v1/files/{path=**}", "/v1/files", {"path": ""}),
        ("/v1/files/{path=**}", "/v1/files/a//b/", {"path": "a//b/"}),
        ("/v1/{name=trees/**}", "/v1/trees", {"name": "trees"}),
        ("/v1/files/{path=**}", "/v1/files/a%2Fb/c%20d%2fe", {"path": "a%2Fb/c d%2fe"}),
        ("/v1/{name=shelves/*}", "/v1/shelves/a%2Fb%3A", {"name": "shelves/a%2Fb:"}),
        ("/v1/jobs/{job_id}:stop", "/v1/jobs/a%3Ab:stop", {"job_id": "a:b"}),
        ("/v1/jobs/{job_id}", "/v1/jobs/42%3Astop", {"job_id": "42:stop"}),
        ("/v1/jobs/{job_id}", "/v1/j%6fbs/%zz", {"job_id": "%zz"}),
    ],
)
def test_a_path_matches(template: str, path: str, variables: dict[str, str]) -> None:
    assert routed(template).match("GET", path) == Match(template, variables)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/v1/jobs", "/v1/jobs/"),
        ("/v1/jobs", "/v1"),
        ("/v1/jobs/{job_id}", "/v1/jobs/"),
        ("/v1/jobs/{job_id}", "/v1/jobs/1/2"),
        ("/v1/jobs/{job_id}/events", "/v1/jobs//events"),
        ("/v1/storyboards:plan", "/v1/storyboards"),
        ("/v1/storyboards:plan", "/v1/storyboards:other"),
        ("/v1/{name=shelves/*}/books", "/v1/racks/7/books"),
        ("/v1/jobs/{job_id}:stop", "/v1/jobs/42%3Astop"),
        ("/v1/files/{path=**}:read", "/v1/files/a"),
    ],
)
def test_a_path_does_not_match(template: str, path: str) -> None:
    assert routed(template).match("GET", path) is None


def test_literals_win_over_variables_and_verbs_over_none() -> None:
    router = routed("/v1/jobs/{id}", "/v1/jobs/newest", "/v1/jobs/{id}:stop", "/v1/{path=**}", "/v1/{kind}/newest")
    for path, target in {
        "/v1/jobs/newest": "/v1/jobs/newest",
        "/v1/jobs/7": "/v1/jobs/{id}",
        "/v1/jobs/7:stop": "/v1/jobs/{id}:stop",
        "/v1/jobs/7:other": "/v1/jobs/{id}",
        "/v1/books/newest": "/v1/{kind}/newest",
        "/v1/books/oldest/x": "/v1/{path=**}",
        "/v1/jobs/7/8/9": "/v1/{path=**}",
    }.items():
        found = router.match("GET", path)
        assert isinstance(found, Match), path
        assert found.target == target


def test_another_method_is_a_mismatch_with_the_allowed_ones() -> None:
    router = routed("/v1/jobs")
    router.add("POST", compile_template("/v1/jobs"), "post")
    assert router.match("DELETE", "/v1/jobs") == MethodMismatch(("GET", "HEAD", "OPTIONS", "POST"))
    assert router.match("HEAD", "/v1/jobs") == Match("/v1/jobs", {})


def test_a_kind_of_star_takes_what_no_other_takes() -> None:
    """http.proto: "*" leaves the method unspecified."""
    router = routed("/v1/jobs")
    router.add("*", compile_template("/v1/jobs"), "any")
    for method, target in {"GET": "/v1/jobs", "HEAD": "/v1/jobs", "DELETE": "any", "REPORT": "any"}.items():
        assert router.match(method, "/v1/jobs") == Match(target, {})


def test_a_path_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(PathEncodingError):
        routed("/v1/jobs/{id}").match("GET", "/v1/jobs/%ff")


@pytest.mark.parametrize(
    "template",
    [
        "v1/jobs",
        "/v1//jobs",
        "/v1/jobs/",
        "/v1/{Bad}",
        "/v1/{id",
        "/v1/{a=**}/b",
        "/v1/{id}/{id}",
        "/v1/a b",
        "/v1/x:y z",
    ],
)
def test_a_bad_template_is_refused(template: str) -> None:
    with pytest.raises(TemplateError):
        compile_template(template)


def test_two_templates_of_one_shape_collide() -> None:
    router = routed("/v1/jobs/{job_id}")
    with pytest.raises(TemplateError, match="collides"):
        router.add("GET", compile_template("/v1/jobs/{id}"), "other")


def test_openapi_path_has_plain_variables() -> None:
    assert compile_template("/v1/{name=shelves/*}/b:do").openapi_path() == "/v1/{name}/b:do"
