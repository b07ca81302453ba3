"""The command line, run as users run it: in a process of its own."""

import re
import socket
import subprocess
import sys

import pytest

from bicameral.cli.app import COMMANDS as COMMANDS_BY_GROUP


def run(*words, code="from bicameral.cli.app import main; main()", cwd=None):
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_help_imports_no_heavy_module():
    probe = (
        "import sys\n"
        "from bicameral.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'numpy', 'numba', 'carla', 'onnxruntime', 'torch', 'cv2', 'starlette'}\n"
        "assert not heavy & set(sys.modules)\n"
    )
    assert run(code=probe).returncode == 0


def test_every_command_prints_its_help_without_the_optional_packages():
    code = (
        "import sys\n"
        "for name in ('carla', 'numba', 'msgpack', 'torch', 'onnx', 'jinja2', 'joblib', 'scipy',\n"
        "             'shapely', 'pyclothoids', 'redis', 'starlette', 'uvicorn', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from bicameral.cli.app import COMMANDS, app\n"
        "for commands in COMMANDS.values():\n"
        "    for name, _place, _summary in commands:\n"
        "        app([*name.split(), '--help'])\n"
    )
    result = run(code=code)
    assert result.returncode == 0, result.stderr
    shown = re.findall(r"Usage: bicameral ([a-z]+(?:[ -][a-z]+)*)", result.stdout)
    assert shown == [name for commands in COMMANDS_BY_GROUP.values() for name, _, _ in commands]


def test_a_misspelt_command_exits_2_and_names_the_right_one():
    result = run("simulat")
    assert result.returncode == 2
    assert "simulate" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_an_interrupted_command_says_how_to_go_on():
    code = (
        "from bicameral.cli.app import app, main\n"
        "def stopped(): raise KeyboardInterrupt\n"
        "app.command(stopped)\n"
        "main(['stopped'])"
    )
    result = run(code=code)
    assert result.returncode == 130
    assert "interrupted; evaluate and measure go on with --resume" in result.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"x = [", "Invalid value"), (b"\xff\xfe", "can't decode byte"), (None, "Is a directory")],
)
def test_settings_that_cannot_be_read_are_named(tmp_path, content, reason):
    settings = tmp_path / "bicameral.toml"
    if content is None:
        settings.mkdir()
    else:
        settings.write_bytes(content)
    result = run("simulate", "--town", "Nowhere", cwd=tmp_path)
    printed = "".join(result.stderr.replace("│", "").split())
    assert result.returncode == 2
    assert f"cannotreadthesettings{settings}:" in printed
    assert "".join(reason.split()) in printed


def test_settings_with_a_mark_of_the_byte_order_are_read(tmp_path):
    (tmp_path / "bicameral.toml").write_bytes(b'\xef\xbb\xbf[simulate]\ntown = "Nowhere"\n')
    assert "unknown town 'Nowhere'" in run("simulate", cwd=tmp_path).stderr


def failing(statement):
    """A command that ends with an error of the operating system."""
    code = (
        "import errno\n"
        "from bicameral.cli.app import app, main\n"
        f"def failing(): {statement}\n"
        "app.command(failing)\n"
        "main(['failing'])"
    )
    return run(code=code)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("open('/no/such/place', 'w')", "cannot use '/no/such/place': No such file or directory"),
        ("raise OSError(errno.ENOSPC, 'No space left on device')", "No space left on device"),
        ("raise MemoryError('Unable to allocate 112 GiB')", "Unable to allocate 112 GiB"),
        ("raise MemoryError", "not enough memory"),
    ],
)
def test_what_the_machine_refuses_is_said_in_one_line(statement, reason):
    result = failing(statement)
    assert result.returncode == 3
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert reason in result.stderr


@pytest.fixture(scope="module")
def doctor():
    """What `bicameral doctor` does where no server runs; it imports much, so it runs once."""
    return run("doctor", "--port", "1")


def test_doctor_says_for_every_energy_meter_where_it_is_or_why_it_is_not(doctor):
    printed = doctor.stdout
    for meter in ("ina3221", "rapl", "nvml"):
        assert f"energy meter {meter}" in printed.replace("\n", " ")


def test_doctor_names_the_calls_that_the_pocket_simulator_does_not_carry_out(doctor):
    printed = doctor.stdout
    assert "open_vehicle_door" in printed
    assert "get_gbuffer_token" in printed


def test_doctor_names_camera_attributes_that_the_pocket_simulator_ignores(doctor):
    printed = doctor.stdout
    assert "accepted without effect" in printed
    assert "bloom_intensity" in printed


def test_doctor_reports_a_port_that_answers_no_carla():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = run("doctor", "--port", str(port))
    assert result.returncode == 3
    assert "no CARLA server" in " ".join(result.stdout.split())


def test_doctor_finds_this_machine_fit_when_no_server_runs(doctor):
    assert doctor.returncode == 0, doctor.stdout
    assert "not reachable" in " ".join(doctor.stdout.split())
