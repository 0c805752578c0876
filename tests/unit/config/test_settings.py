from __future__ import annotations

from pathlib import Path

import pytest

from jobworker.config import settings as settings_module
from jobworker.config.settings import Address
from jobworker.errors import ConfigurationInvalid


def test_flags_go_before_variables_before_file_before_defaults(tmp_path: Path) -> None:
    file = tmp_path / "jobd.toml"
    file.write_text('state = "/file"\nlisten = "127.0.0.1:1"\ncontainment = "basic"\n')
    settings = settings_module.load(
        {"state": "/flag", "config": str(file)},
        {"JOBD_STATE": "/variable", "JOBD_LISTEN": "[::1]:2"},
    )
    assert settings.state == Path("/flag")
    assert settings.listen == Address("::1", 2)
    assert str(settings.listen) == "[::1]:2"
    assert settings.containment == "basic"
    assert settings_module.load({}, {}).containment == "auto"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('lisen = "x"', ":1: unknown setting 'lisen'"),
        ('state = "/x"\n[limit]\nmemory = 1', ":2: unknown setting 'limit'"),
        ("listen = 8443", ":1: listen must be a string"),
        ('containment = "most"', "must be one of auto, full"),
        ('listen = "8443"', "must be HOST:PORT"),
        ('listen = "localhost:99999"', "must be HOST:PORT"),
        ("listen", "cannot read"),
        ("\xff", "cannot read"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "jobd.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationInvalid, match=r"jobd\.toml") as refused:
        settings_module.load({}, {"JOBD_CONFIG": str(file)})
    assert complaint in str(refused.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="cannot read"):
        settings_module.load({"config": str(tmp_path / "none")}, {})
