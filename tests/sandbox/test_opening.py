"""Where programs cannot be contained they do not run, and the error names the remedy."""

import sys

import pytest

from quantbench.errors import SandboxError
from quantbench.sandbox import opening, selftest
from quantbench.sandbox.inside import seccomp, system_calls
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.lane import Lane
from quantbench.sandbox.modes import BUBBLEWRAP, CONTAINED, LANDLOCK, UNSAFE
from quantbench.sandbox.pool import diagnose, open_sandbox


def test_without_any_way_it_refuses_and_names_each_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "missing", lambda mode: "not here")
    with pytest.raises(SandboxError, match=r"bubblewrap: not here; landlock: not here.*--unsafe-no-sandbox"):
        opening.open_first(CONTAINED, Limits())


def test_without_bubblewrap_its_absence_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening.shutil, "which", lambda name: None)
    assert "apt install bubblewrap" in str(opening.missing(BUBBLEWRAP))


def test_without_bubblewrap_landlock_contains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening.shutil, "which", lambda name: None)
    try:
        opening.open_lane(LANDLOCK, opening.for_this_user(Limits())).kill()
    except SandboxError as error:
        pytest.skip(str(error))
    with open_sandbox() as sandbox:
        assert sandbox.mode == LANDLOCK


@pytest.mark.parametrize(("platform", "remedy"), [("darwin", "Linux container"), ("win32", "WSL")])
def test_other_systems_are_told_what_to_use(
    monkeypatch: pytest.MonkeyPatch, platform: str, remedy: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert remedy in str(opening.missing(LANDLOCK))


def test_forbidden_user_namespaces_are_explained() -> None:
    said = opening.explain(BUBBLEWRAP, "its processes ended", "bwrap: setting up uid map: Permission denied")
    assert "apparmor_restrict_unprivileged_userns" in said and "--security-opt" in said


def test_a_box_without_containment_fails_the_self_test() -> None:
    lane = Lane(UNSAFE, Limits())
    try:
        finding = selftest.attack(lane, contained=True)
    finally:
        lane.kill()
    assert finding is not None and "read a file of the host" in finding


def test_a_box_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantbench.sandbox.launch.bubblewrap_command", lambda: ["/nowhere/bwrap"])
    monkeypatch.setattr(opening, "missing", lambda mode: None)
    with pytest.raises(SandboxError, match="cannot be started"):
        opening.open_lane(BUBBLEWRAP, Limits())


def test_a_box_that_dies_at_once_tells_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ["sh", "-c", "echo bwrap: no permissions >&2; exit 1", "--"]
    monkeypatch.setattr("quantbench.sandbox.launch.bubblewrap_command", lambda: broken)
    monkeypatch.setattr(opening, "missing", lambda mode: None)
    with pytest.raises(SandboxError, match="bwrap: no permissions; user namespaces seem forbidden"):
        opening.open_lane(BUBBLEWRAP, Limits())


def test_the_doctor_hears_of_every_mode() -> None:
    found = {name: finding for name, _, finding in diagnose()}
    assert {BUBBLEWRAP, LANDLOCK} <= set(found) <= set(CONTAINED)


@pytest.mark.parametrize("machine", seccomp.MACHINES.values(), ids=list(seccomp.MACHINES))
@pytest.mark.parametrize("scratch", [True, False])
def test_the_filter_ends_in_a_refusal_and_its_jumps_stay_inside(
    machine: seccomp.Machine, scratch: bool
) -> None:
    code = seccomp.build_filter(machine, scratch=scratch)
    instructions = [
        (int.from_bytes(code[at : at + 2], sys.byteorder), code[at + 2], code[at + 3], code[at + 4 : at + 8])
        for at in range(0, len(code), 8)
    ]
    last = len(instructions) - 1
    assert instructions[last][0] == seccomp.RETURN
    assert int.from_bytes(instructions[last][3], sys.byteorder) == seccomp.DENY
    assert all(at + 1 + max(i[1], i[2]) <= last for at, i in enumerate(instructions) if i[0] & 7 == 5)


@pytest.mark.parametrize("column", [0, 1])
def test_no_call_is_listed_twice(column: int) -> None:
    numbers = [n[column] for n in [*system_calls.CALLS.values(), *system_calls.SCRATCH_CALLS.values()]]
    known = [number for number in numbers if number is not None]
    assert len(set(known)) == len(known)
