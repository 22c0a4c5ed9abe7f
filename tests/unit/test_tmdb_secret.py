"""The token of TMDB in a secret of AWS: read when it is needed, done without if it is missing."""

from collections.abc import Mapping
from typing import Any

import pytest

from trinity.bootstrap import Services
from trinity.common.settings import Settings
from trinity.domain.titles import TitleFilter
from trinity.infrastructure.aws.client import AwsError
from trinity.infrastructure.external_apis.tmdb import TmdbCatalogue
from trinity.infrastructure.secretsmanager.secret import Secret
from trinity.infrastructure.secretsmanager.token import token_in
from trinity.ports import Unavailable

NOT_ALLOWED = AwsError("AccessDeniedException", "you may not", 400, {})
EMPTY = AwsError(
    "ResourceNotFoundException", "can't find the specified secret value: AWSCURRENT", 400, {}
)


class SecretsManager:
    """A client that knows one secret."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def call(
        self, operation: str, request: Mapping[str, Any], *, idempotent: bool
    ) -> dict[str, Any]:
        assert (operation, idempotent) == ("GetSecretValue", True)
        self.asked.append(request["SecretId"])
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"VersionId": "1", "SecretString": self.answer}


def secret(client: SecretsManager) -> Secret:
    return Secret(client, "trinity/prod/tmdb")  # type: ignore[arg-type]


def test_it_is_read_once_by_a_process_and_not_before_it_is_needed() -> None:
    client = SecretsManager("token\n")
    kept = secret(client)
    assert client.asked == []
    assert [token_in(kept) for _ in range(3)] == ["token"] * 3
    assert client.asked == ["trinity/prod/tmdb"]


@pytest.mark.parametrize("answer", [EMPTY, "", NOT_ALLOWED, Unavailable("away")], ids=str)
def test_without_a_token_it_is_only_unavailable(answer: str | Exception) -> None:
    with pytest.raises(Unavailable):
        token_in(secret(SecretsManager(answer)))


@pytest.mark.parametrize("answer", [EMPTY, NOT_ALLOWED], ids=str)
def test_the_films_that_are_shipped_answer_without_a_token(
    answer: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = SecretsManager(answer)
    monkeypatch.setattr(Services, "_secret", lambda _, name: Secret(client, name))  # type: ignore[arg-type]
    services = Services(Settings(tmdb_secret="trinity/prod/tmdb"))
    catalogue = services.catalogue
    assert isinstance(catalogue, TmdbCatalogue)
    assert client.asked == []
    assert len(catalogue.select(TitleFilter(), size=5, seed=1)) == 5
    assert client.asked == ["trinity/prod/tmdb"]
    assert "TMDB could not answer" in capsys.readouterr().out


def test_without_setting_there_is_nothing_to_ask() -> None:
    assert not isinstance(Services(Settings()).catalogue, TmdbCatalogue)
