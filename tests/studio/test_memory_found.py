"""How much memory there is: what Linux tells of the machine, of control groups and of the process."""

import resource

import pytest

from darkroom.errors import UnknownName
from darkroom.studio.placement.memory import KEPT_FREE, available, budget_of, check_setting

MIB = 2**20


@pytest.fixture
def machine(tmp_path):
    """Files as the kernel has them, from their paths and contents; a machine with 8 GiB free."""

    def lay(**files):
        for place, text in {"proc/meminfo": "MemTotal: 16 kB\nMemAvailable: 8388608 kB\n", **files}.items():
            path = tmp_path / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return lay


def test_what_the_machine_has_free(machine):
    assert available(machine()) == 8192 * MIB


def test_a_group_of_the_second_version_and_those_above_it(machine):
    groups = "sys/fs/cgroup"
    files = {
        "proc/self/cgroup": "0::/outer/inner\n",
        f"{groups}/outer/inner/memory.max": "max\n",
        f"{groups}/outer/inner/memory.current": "1\n",
        f"{groups}/outer/memory.max": str(4096 * MIB),
        f"{groups}/outer/memory.current": str(1024 * MIB),
        f"{groups}/outer/memory.stat": f"anon 5\ninactive_file {512 * MIB}\n",
    }
    assert available(machine(**files)) == (4096 - 1024 + 512) * MIB


def test_a_group_of_the_first_version_where_it_is_seen_from_inside(machine):
    groups = "sys/fs/cgroup/memory"
    files = {
        "proc/self/cgroup": "5:cpu:/x\n4:memory:/not/seen/here\n0::/\n",
        f"{groups}/memory.limit_in_bytes": str(2048 * MIB),
        f"{groups}/memory.usage_in_bytes": str(100 * MIB),
        f"{groups}/memory.stat": f"inactive_file 1\ntotal_inactive_file {40 * MIB}\n",
    }
    assert available(machine(**files)) == (2048 - 100 + 40) * MIB
    files[f"{groups}/memory.limit_in_bytes"] = "9223372036854771712"
    assert available(machine(**files)) == 8192 * MIB


def test_a_bound_on_the_address_space(machine, monkeypatch):
    root = machine(**{"proc/self/status": "Name: x\nVmSize: 1048576 kB\n"})
    monkeypatch.setattr(resource, "getrlimit", lambda which: (3072 * MIB, -1))
    assert available(root) == 2048 * MIB


def test_this_machine_has_some():
    assert 0 < available() < 2**50


def test_settings():
    assert budget_of("high").nbytes == float("inf") and not budget_of("high").sparing
    auto, low = budget_of("auto", 1000 * MIB), budget_of("low")
    assert low.sparing and not auto.sparing
    assert abs(auto.nbytes - low.nbytes - 1000 * MIB) < 2000 * MIB and low.nbytes > -KEPT_FREE
    check_setting("low")
    with pytest.raises(UnknownName, match="did you mean 'high'"):
        check_setting("hihg")
