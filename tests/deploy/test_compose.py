"""The compose file holds together: with its schema, with the files it names, and with HAProxy."""

from __future__ import annotations

import fnmatch
import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from relay.errors import SettingsError
from relay.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE_FILES = [ROOT / "docker-compose.yml", ROOT / "deploy" / "redis-on-localhost.yml"]
DOCKERFILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))
ENV_EXAMPLE = ROOT / ".env.example"

SERVICES = ["redis", "relay", "frontend", "haproxy"]
BUILT = ["relay", "frontend"]

# ${NAME:-default}, the one form that is used here: it needs no .env, and an empty line in it counts
# as no line.
_VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^{}]*)\}")
# A tag must name at least a minor version.
_PINNED = re.compile(r"^[\w./-]+:\d+\.\d+[\w.-]*$")


def filled_in(value: Any) -> Any:
    """Return parsed YAML with each variable replaced by its default, as without an .env."""
    if isinstance(value, dict):
        return {key: filled_in(item) for key, item in value.items()}
    if isinstance(value, list):
        return [filled_in(item) for item in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: match["default"], value)
    return value


def read(path: Path) -> dict[str, Any]:
    """Return a compose file the way that Compose reads it when there is no .env."""
    parsed = filled_in(yaml.safe_load(path.read_text()))
    assert isinstance(parsed, dict)
    return parsed


def compose() -> dict[str, Any]:
    """Return docker-compose.yml."""
    return read(COMPOSE_FILES[0])


def service(name: str) -> dict[str, Any]:
    """Return one service of it."""
    found = compose()["services"][name]
    assert isinstance(found, dict)
    return found


def compose_schema() -> dict[str, Any]:
    """Return the Compose Specification's JSON schema, of which check-jsonschema brings a copy.

    Raises:
        FileNotFoundError: it isn't installed; the test fails, it is never skipped.
    """
    try:
        files = distribution("check-jsonschema").files or []
    except PackageNotFoundError:
        raise FileNotFoundError(
            "check-jsonschema is not installed, and it brings the schema of compose files: "
            "pip install check-jsonschema"
        ) from None
    (path,) = (file for file in files if file.name == "compose-spec.json")
    schema = json.loads(path.read_text())
    assert isinstance(schema, dict)
    return schema


def dockerfile(name: str) -> str:
    """Return the text of a built service's Dockerfile, continued lines joined, without comments."""
    build = service(name)["build"]
    text = (ROOT / build["context"] / build["dockerfile"]).read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    return text.replace("\\\n", " ")


def instructions(name: str, keyword: str) -> list[str]:
    """Return the arguments of each such instruction, in order."""
    return re.findall(rf"^{keyword}\s+(.*?)\s*$", dockerfile(name), flags=re.MULTILINE)


def sent_to_builder(path: str) -> bool:
    """Tell whether .dockerignore lets a path through: its last rule that matches decides."""
    sent = True
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        if not rule or rule.startswith("#"):
            continue
        pattern = rule.removeprefix("!")
        # A rule for a folder is one for all that is in it; `**/` also stands for no folder.
        parts = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
        names = [Path(part).name for part in parts] if pattern.startswith("**/") else parts
        if any(fnmatch.fnmatchcase(name, pattern.removeprefix("**/")) for name in names):
            sent = rule.startswith("!")
    return sent


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_it_is_valid(path: Path) -> None:
    """The file, with its defaults filled in, is what the Compose Specification's schema allows."""
    jsonschema.validate(read(path), compose_schema())


def test_the_schema_would_refuse_a_typing_error() -> None:
    """The schema in use is strict: an unknown key of a service is an error."""
    wrong = compose()
    wrong["services"]["relay"]["depend_on"] = ["redis"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, compose_schema())


def test_the_services_are_the_documented_ones() -> None:
    """There are four services; the rest of this file counts on their names."""
    assert sorted(compose()["services"]) == sorted(SERVICES)


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_every_variable_has_a_default_and_an_explanation(path: Path) -> None:
    """Nothing must be set for `docker compose up`, and .env.example names all that can be."""
    code = re.sub(r"#.*", "", path.read_text())
    names = {match["name"] for match in _VARIABLE.finditer(code)}
    assert names
    assert "$" not in _VARIABLE.sub("", code), "a variable without a default"
    explained = set(re.findall(r"^#?(\w+)=", ENV_EXAMPLE.read_text(), flags=re.MULTILINE))
    assert names <= explained


def test_every_relay_setting_is_explained() -> None:
    """Each RELAY_* variable that the relay is given stands in .env.example, or is derived."""
    given = {name for name in service("relay")["environment"] if name.startswith("RELAY_")}
    explained = set(re.findall(r"^#?(\w+)=", ENV_EXAMPLE.read_text(), flags=re.MULTILINE))
    derived = {"RELAY_REDIS_URL", "RELAY_PUBLIC_HOST", "RELAY_TRUSTED_PROXIES"}
    assert given - derived <= explained


def test_documented_defaults_are_the_real_ones() -> None:
    """What .env.example calls a default is the default in the compose files."""
    code = "".join(path.read_text() for path in COMPOSE_FILES)
    real = {match["name"]: match["default"] for match in _VARIABLE.finditer(code)}
    documented = dict(re.findall(r"^#(\w+)=(.*)$", ENV_EXAMPLE.read_text(), flags=re.MULTILINE))
    for name in real.keys() & documented.keys():
        assert documented[name] == real[name], name


def test_no_secret_is_in_the_files() -> None:
    """Secrets come from .env, which neither git nor an image gets to see."""
    # `:-}` is a default that is empty.
    named = re.compile(
        r"(SECRET|PASSWORD|TOKEN|KEY)\w*\s*[=:](?!-\})\s*[^\s$#]", flags=re.IGNORECASE
    )
    for path in [*COMPOSE_FILES, ENV_EXAMPLE]:
        assert named.search(path.read_text()) is None, path.name
    assert not sent_to_builder(".env")
    assert not sent_to_builder("frontend/.env.local")


def test_a_shells_redis_url_does_not_reach_the_relay() -> None:
    """RELAY_REDIS_URL in the shell is for `hint` on the host; in a container it would be wrong."""
    code = re.sub(r"#.*", "", COMPOSE_FILES[0].read_text())
    assert "${RELAY_REDIS_URL" not in code
    assert service("relay")["environment"]["RELAY_REDIS_URL"] == "redis://redis:6379/0"


def test_relays_know_whether_strangers_reach_them() -> None:
    """Relays are told the very address on which HAProxy is published, so that none is open on it."""
    code = COMPOSE_FILES[0].read_text()
    host = "${HINT_RELAY_HOST:-127.0.0.1}"
    assert f"RELAY_PUBLIC_HOST: {host}\n" in code
    assert f'- "{host}:' in code
    settings = {
        name.removeprefix("RELAY_").lower(): value
        for name, value in service("relay")["environment"].items()
    }
    settings["host"] = "0.0.0.0"
    Settings.load(**settings).check_closed()
    with pytest.raises(SettingsError, match="RELAY_JWT_SECRET"):
        Settings.load(**{**settings, "public_host": "0.0.0.0"}).check_closed()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_checked(name: str) -> None:
    """Compose can tell whether a service works: by its own check or by the one of its image."""
    own = "healthcheck" in service(name)
    assert own or (name in BUILT and len(instructions(name, "HEALTHCHECK")) == 1)


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_exist(name: str) -> None:
    """A service waits for services that there are, until they are healthy."""
    for other, wait in service(name).get("depends_on", {}).items():
        assert other in SERVICES
        assert wait == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_networks_and_volumes_are_declared(name: str) -> None:
    """Named networks and volumes are declared; mounted files are in the repository, read-only."""
    declared = compose()
    assert set(service(name)["networks"]) <= set(declared["networks"])
    for volume in service(name).get("volumes", []):
        source, _target, *mode = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).is_file(), source
            assert mode == ["ro"]
        else:
            assert source in declared["volumes"]


@pytest.mark.parametrize("name", BUILT)
def test_what_a_dockerfile_copies_is_there(name: str) -> None:
    """Context, Dockerfile and each copied path exist, and .dockerignore lets them through."""
    build = service(name)["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()
    for arguments in instructions(name, "COPY"):
        if arguments.startswith("--from="):
            continue
        for source in arguments.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert sent_to_builder(source), source


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        "tests/deploy/test_compose.py",
        "frontend/node_modules/next/package.json",
        "frontend/.next/trace",
        "frontend/out/index.html",
        "relay/__pycache__/app.pyc",
    ],
)
def test_what_an_image_does_not_need_stays_out(path: str) -> None:
    """The builder is sent neither history, nor tests, nor what was built before."""
    assert not sent_to_builder(path)
    assert sent_to_builder("relay/app.py")
    assert sent_to_builder("frontend/app/page.tsx")


@pytest.mark.parametrize("name", BUILT)
def test_the_dockerfiles_build_arguments_exist(name: str) -> None:
    """Each argument that compose gives to a build is declared by the Dockerfile."""
    declared = {arguments.split("=")[0] for arguments in instructions(name, "ARG")}
    assert set(service(name)["build"].get("args", {})) <= declared


def images() -> list[str]:
    """Return every image that is run or built upon."""
    run = [found["image"] for found in compose()["services"].values() if "image" in found]
    built_upon = [words.split()[0] for name in BUILT for words in instructions(name, "FROM")]
    return sorted({*run, *built_upon})


@pytest.mark.parametrize("image", images())
def test_images_are_pinned(image: str) -> None:
    """No image is called just `latest`: its tag names a version, down to the minor at least."""
    assert _PINNED.match(image), image


def test_the_relays_images_are_one_python() -> None:
    """The virtual environment is copied between two images, so both must be the same."""
    assert len({words.split()[0] for words in instructions("relay", "FROM")}) == 1


@pytest.mark.parametrize("name", SERVICES)
def test_nobody_is_root(name: str) -> None:
    """No service runs as root, or can gain a privilege, or can write to its image."""
    found = service(name)
    assert found["user"] not in {"", "0", "root"}
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in found["security_opt"]
    assert not found.get("privileged")
    if name in BUILT:
        assert instructions(name, "USER")[-1] == found["user"]


@pytest.mark.parametrize("name", SERVICES)
def test_logs_and_restarts_are_bounded(name: str) -> None:
    """A service comes back by itself, and its log can't fill the disk."""
    found = service(name)
    assert found["restart"] == "unless-stopped"
    assert set(found["logging"]["options"]) == {"max-size", "max-file"}


def test_relays_can_be_scaled() -> None:
    """`--scale relay=N` works: nothing of a relay can exist only once."""
    found = service("relay")
    assert not {"container_name", "ports", "hostname", "volumes", "network_mode"} & set(found)
    assert all("container_name" not in other for other in compose()["services"].values())


def test_only_the_load_balancer_is_published() -> None:
    """Redis, relays and page can't be reached past HAProxy, and that by this machine only."""
    assert [name for name in SERVICES if "ports" in service(name)] == ["haproxy"]
    assert service("haproxy")["ports"] == ["127.0.0.1:8080:8080"]


def test_redis_is_published_on_loopback_only_when_asked_for() -> None:
    """The second compose file changes this one thing, and not for other machines."""
    assert read(COMPOSE_FILES[1]) == {"services": {"redis": {"ports": ["127.0.0.1:6379:6379"]}}}


def test_haproxy_cannot_reach_redis() -> None:
    """Only relays stand in both networks."""
    assert set(service("haproxy")["networks"]) & set(service("redis")["networks"]) == set()
    assert set(service("haproxy")["networks"]) < set(service("relay")["networks"])
    assert set(service("redis")["networks"]) < set(service("relay")["networks"])


def haproxy_defaults() -> dict[str, str]:
    """Return the default of each LB_* variable in haproxy.cfg; commented lines count, too."""
    text = (ROOT / "deploy" / "haproxy.cfg").read_text()
    return dict(re.findall(r"\$\{(LB_\w+)-([^}]*)\}", text))


def test_haproxy_knows_the_services_names() -> None:
    """Compose's names and ports are what haproxy.cfg is told, and what it would take by itself."""
    told = service("haproxy")["environment"]
    defaults = haproxy_defaults()
    assert set(told) <= set(defaults)
    assert told["LB_RELAY_HOST"] == defaults["LB_RELAY_HOST"] == "relay"
    assert told["LB_PAGE_HOST"] == defaults["LB_PAGE_HOST"] == "frontend"
    assert told["LB_RELAY_PORT"] == defaults["LB_RELAY_PORT"] == "8000"
    assert told["LB_PAGE_PORT"] == defaults["LB_PAGE_PORT"] == "8080"
    for name in ["LB_RELAY_HOST", "LB_PAGE_HOST"]:
        assert told[name] in SERVICES
        assert set(service(told[name])["networks"]) & set(service("haproxy")["networks"])
    # Docker's DNS, at the same place in every user-defined network.
    assert defaults["LB_RESOLVER"] == "127.0.0.11:53"


def test_the_ports_are_those_that_are_listened_on() -> None:
    """Relay and page listen where HAProxy looks for them, and the check asks HAProxy there."""
    assert json.loads(instructions("relay", "ENTRYPOINT")[0]) == ["hint-relay"]
    command = json.loads(instructions("relay", "CMD")[-1])
    assert command == ["serve", "--host", "0.0.0.0", "--port", "8000"]
    assert "127.0.0.1:8000/health/ready" in instructions("relay", "HEALTHCHECK")[0]
    assert instructions("relay", "EXPOSE") == ["8000"]

    nginx = (ROOT / "deploy" / "nginx.conf").read_text()
    assert "listen 8080;" in nginx
    assert "location = /healthz" in nginx
    assert "127.0.0.1:8080/healthz" in instructions("frontend", "HEALTHCHECK")[0]
    assert instructions("frontend", "EXPOSE") == ["8080"]

    haproxy = service("haproxy")
    assert haproxy["environment"]["LB_STATS_BIND"] == ":8404"
    assert haproxy["healthcheck"]["test"][-1] == "http://127.0.0.1:8404/health"
    assert all(not port.endswith(":8404") for port in haproxy["ports"])


def test_every_lb_variable_is_explained_with_its_default() -> None:
    """The table at the top of haproxy.cfg names each variable and its default."""
    text = (ROOT / "deploy" / "haproxy.cfg").read_text()
    table = dict(re.findall(r"^#   (LB_\w+) .*? {2,}(\S+)(?: \(.*\))?$", text, flags=re.MULTILINE))
    assert table == haproxy_defaults()


def test_haproxy_has_file_descriptors_for_its_connections() -> None:
    """Each connection takes two file descriptors; some are needed for the rest."""
    haproxy = service("haproxy")
    descriptors = haproxy["ulimits"]["nofile"]["soft"]
    assert int(haproxy["environment"]["LB_MAXCONN"]) * 2 < descriptors - 1000
    assert service("relay")["ulimits"]["nofile"]["soft"] >= descriptors


def test_haproxy_has_time_to_stop() -> None:
    """Docker waits longer than HAProxy does for the last socket."""
    grace = int(service("haproxy")["stop_grace_period"].removesuffix("s"))
    assert grace > int(haproxy_defaults()["LB_HARD_STOP"].removesuffix("s"))


def test_the_lists_in_this_file_are_complete() -> None:
    """No Dockerfile is left out of these tests."""
    assert [path.name for path in DOCKERFILES] == sorted(f"{name}.Dockerfile" for name in BUILT)
