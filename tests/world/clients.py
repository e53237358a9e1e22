"""Real installers, run against an index in isolation.

Each runs in its own directory, with its own home and cache and with no settings of this machine,
and installs into `target`. What is returned was read from the target, not from their output. A
failing installer raises `InstallError` with all that it printed.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.world.processes import beside_python, environment


class InstallError(Exception):
    """An installer ended with an error; the message holds its output."""


def pip_install(index_url: str | Sequence[str], requirements: Sequence[str], target: Path) -> dict[str, str]:
    """Install with the pip of the running interpreter."""
    return _pip([sys.executable, "-m", "pip"], index_url, requirements, target)


def old_pip(directory: Path) -> Path:
    """Make an environment whose pip is 22.2, of 2022; return its Python.

    This one step uses the machine's own pip configuration, to obtain that pip.
    """
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True, stdout=subprocess.DEVNULL)
    python = directory / "bin" / "python"
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "pip==22.2"]
    done = subprocess.run(install, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise InstallError(done.stdout)
    return python


def old_pip_install(
    python: Path, index_url: str | Sequence[str], requirements: Sequence[str], target: Path
) -> dict[str, str]:
    """Install with the pip of another interpreter, as made by `old_pip`."""
    return _pip([python, "-m", "pip"], index_url, requirements, target)


def uv_install(index_url: str | Sequence[str], requirements: Sequence[str], target: Path) -> dict[str, str]:
    """Install with uv."""
    first, *others = _urls(index_url)
    command: list[str | Path] = [
        *(beside_python("uv"), "pip", "install", "--no-config", "--no-cache", "--python", sys.executable),
        *("--target", target, "--index-url", first),
        *(part for url in others for part in ("--extra-index-url", url)),
        *requirements,
    ]
    _run(command, _work(target), {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"})
    return installed(target)


def poetry_install(index_url: str, requirements: Sequence[str], target: Path) -> dict[str, str]:
    """Install with poetry, in a project whose only source is the index; `target` is its environment."""
    dependencies = "\n".join(f"{r.name} = '{r.specifier or '*'}'" for r in map(Requirement, requirements))
    document = f"""
[tool.poetry]
package-mode = false

[tool.poetry.dependencies]
python = ">=3.11"
{dependencies}

[[tool.poetry.source]]
name = "mirror"
url = "{_without_login(index_url)}"
priority = "primary"
"""
    work = _work(target)
    (work / "pyproject.toml").write_text(document)
    _environment(target)
    settings = {
        "VIRTUAL_ENV": str(target),
        "POETRY_CACHE_DIR": str(work / "cache"),
        "POETRY_CONFIG_DIR": str(work / "config"),
        "POETRY_DATA_DIR": str(work / "data"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        **_poetry_login(index_url),
    }
    _run([beside_python("poetry"), "install", "--no-interaction", "--no-ansi"], work, settings)
    return installed(_packages(target))


def pdm_install(index_url: str, requirements: Sequence[str], target: Path) -> dict[str, str]:
    """Install with pdm, in a project whose only source is the index; `target` is its environment."""
    document = f"""
[project]
name = "consumer"
version = "0"
requires-python = ">=3.11"
dependencies = {json.dumps(list(requirements))}

[tool.pdm]
distribution = false

[[tool.pdm.source]]
name = "pypi"
url = "{index_url}"
verify_ssl = true
"""
    work = _work(target)
    (work / "pyproject.toml").write_text(document)
    _environment(target)
    settings = {
        "VIRTUAL_ENV": str(target),
        "PDM_IGNORE_SAVED_PYTHON": "1",
        "PDM_CHECK_UPDATE": "0",
        "PDM_CACHE_DIR": str(work / "cache"),
        "PDM_NON_INTERACTIVE": "1",
    }
    _run([beside_python("pdm"), "install", "--no-self"], work, settings)
    return installed(_packages(target))


def installed(directory: Path) -> dict[str, str]:
    """The distributions in a directory: normalised name to version, pip itself left out."""
    found = {canonicalize_name(d.metadata["Name"]): d.version for d in distributions(path=[str(directory)])}
    return {str(name): version for name, version in found.items() if name not in {"pip", "setuptools"}}


def _pip(
    program: Sequence[str | Path], index_url: str | Sequence[str], requirements: Sequence[str], target: Path
) -> dict[str, str]:
    first, *others = _urls(index_url)
    command: list[str | Path] = [
        *(*program, "--isolated", "install", "--no-cache-dir", "--no-input", "--disable-pip-version-check"),
        *("--target", target, "--index-url", first),
        *(part for url in others for part in ("--extra-index-url", url)),
        *requirements,
    ]
    _run(command, _work(target), {"PIP_CONFIG_FILE": "/dev/null"})
    return installed(target)


def _urls(index_url: str | Sequence[str]) -> list[str]:
    return [index_url] if isinstance(index_url, str) else list(index_url)


def _work(target: Path) -> Path:
    work = target.with_name(target.name + "-work")
    work.mkdir(parents=True)
    return work


def _environment(target: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(target)], check=True)


def _packages(environment_directory: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return environment_directory / "lib" / version / "site-packages"


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _poetry_login(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    return {
        "POETRY_HTTP_BASIC_MIRROR_USERNAME": parts.username,
        "POETRY_HTTP_BASIC_MIRROR_PASSWORD": parts.password or "",
    }


def _run(command: Sequence[str | Path], work: Path, settings: Mapping[str, str]) -> None:
    env = environment(work / "home", **settings)
    done = subprocess.run(
        command, cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    if done.returncode:
        raise InstallError(f"{' '.join(map(str, command))}\n{done.stdout}")
