"""Modules that a config lists in ``custom_imports``: which are imported, which are refused."""

import sys

import pytest
from mmengine.config import Config

from nbseg.config.reading import import_custom_modules, read_config
from nbseg.errors import StageError


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module with the given text, and return its name."""
    monkeypatch.syspath_prepend(tmp_path)
    name = "imported_by_config"
    monkeypatch.delitem(sys.modules, name, raising=False)

    def write(text):
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


@pytest.mark.parametrize("config", [{}, {"custom_imports": None}, {"custom_imports": {}}])
def test_a_config_may_name_no_modules(config):
    import_custom_modules(Config(config))


@pytest.mark.parametrize("several", [True, False])
def test_the_modules_are_imported(module, several):
    name = module("")
    import_custom_modules(Config({"custom_imports": {"imports": [name] if several else name}}))
    assert name in sys.modules


@pytest.mark.parametrize(
    "value",
    [
        ["nbseg.errors"],
        "nbseg.errors",
        {"imports": 1},
        {"imports": [1]},
        {"import": ["nbseg.errors"]},
        {"imports": [], "modules": []},
    ],
)
def test_anything_but_a_dictionary_with_a_list_of_names_is_refused(value):
    with pytest.raises(StageError, match="custom_imports must be a dictionary .*; found "):
        import_custom_modules(Config({"custom_imports": value}))


def test_the_message_on_a_missing_module_names_pythonpath():
    message = r"\['nowhere'\] cannot be imported \(ModuleNotFoundError: .*'nowhere'\).*PYTHONPATH"
    with pytest.raises(StageError, match=message):
        import_custom_modules(Config({"custom_imports": {"imports": ["nowhere"]}}))


@pytest.mark.parametrize(
    ("text", "says"),
    [("import nowhere", "No module named 'nowhere'"), ("1 / 0", "ZeroDivisionError: division")],
)
def test_the_message_on_a_module_that_fails_names_the_cause(module, text, says):
    with pytest.raises(StageError, match=f"imported_by_config.*{says}"):
        import_custom_modules(Config({"custom_imports": {"imports": [module(text)]}}))


def test_the_message_names_the_config(tmp_path):
    (tmp_path / "config.py").write_text("model = dict()\ncustom_imports = ['a']")
    with pytest.raises(StageError, match="config.py: custom_imports must be a dictionary"):
        read_config(tmp_path / "config.py")
    (tmp_path / "config.py").write_text("model = dict()\ncustom_imports = dict(imports='nowhere')")
    with pytest.raises(StageError, match=r"config.py: a module in .*\['nowhere'\] cannot be"):
        read_config(tmp_path / "config.py")


def test_modules_of_an_option_are_imported(module, tmp_path):
    name = module("")
    (tmp_path / "config.py").write_text("model = dict()")
    options = {"custom_imports": {"imports": [name]}}
    read_config(tmp_path / "config.py", options, import_modules=False)
    assert name not in sys.modules
    read_config(tmp_path / "config.py", options)
    assert name in sys.modules
