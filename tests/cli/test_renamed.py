"""The names of 1.0: each is a usage error whose hint is the new name."""

import pytest

from tests.cli import run


@pytest.mark.parametrize(
    ("line", "new"),
    [
        (["doctor", "--image", "r.io/app"], "regctl doctor IMAGE -n NS"),
        (["doctor", "--pod", "web"], "regctl doctor pod/NAME -n NS"),
        (["rbac", "--for", "secret list"], "regctl rbac COMMAND..."),
        (["rbac", "--user", "ci"], "--to user:NAME"),
        (["rbac", "--group", "ops"], "--to group:NAME"),
        (["rbac", "--account", "a/b"], "--to account:NS/NAME"),
        (["library", "apply", "team-a"], "regctl registry"),
        (["library", "render", "a"], "regctl registry apply --dry-run=client -o yaml"),
        (["registry", "apply", "--secret", "users"], "--auth-secret NS/NAME"),
        (["auth", "fix"], "regctl auth check --fix"),
        (["auth", "consumers"], "regctl auth check --for all"),
        (["auth", "cost"], "regctl auth check -o wide"),
        (["auth", "expire"], "regctl auth lock --expired"),
        (["users", "--wide"], "-o wide"),
        (["auth", "diff"], "regctl auth push --auth-secret NS/NAME --check"),
        (["auth", "push", "-n", "a"], "--auth-secret NS/NAME"),
        (["auth", "push", "--namespace", "a"], "--auth-secret NS/NAME"),
        (["auth", "push", "--secret", "users"], "--auth-secret NS/NAME"),
        (["auth", "pull", "-n", "a"], "--auth-secret NS/NAME"),
        (["auth", "pull", "--namespace", "a"], "--auth-secret NS/NAME"),
        (["auth", "pull", "--secret", "users"], "--auth-secret NS/NAME"),
        (["rbac", "--service-account", "default"], "--attach NAME"),
        (["secret", "diff"], "regctl secret create --check"),
        (["secret", "check", "--image", "r.io/app"], "regctl doctor IMAGE -n NS"),
        (
            ["secret", "check", "--service-account", "x"],
            "regctl doctor IMAGE -n NS --service-account NAME",
        ),
        (["secret", "create", "--service-account", "default"], "--attach NAME"),
        (["secret", "create", "--all-service-accounts"], "--attach all"),
    ],
)
def test_an_old_name_is_a_usage_error_that_names_the_new_one(line: list[str], new: str) -> None:
    result = run(*line)
    assert result.exit_code == 2
    assert f"hint: `{new}` replaces it" in result.stderr
