"""Measurements of the authorizer's cold import and of a policy decision with cached policies."""

import statistics
import subprocess
import sys
import time

from atrium.storage.table import PhysicalTable

from infra.runtime.template import ROOT
from tests.bench.measuring import percentile
from tests.unit.policy.policy_env import PolicyEnv

IMPORTS = 5
DECISIONS = 5_000
POLICIES = 50


def measure_import() -> dict[str, float]:
    """Return the median times in ms to start the interpreter and to import the authorizer in a new process."""
    bare = statistics.median(seconds_of("pass") for _ in range(IMPORTS))
    whole = statistics.median(seconds_of("import functions.authorizer.app") for _ in range(IMPORTS))
    return {"interpreter_ms": round(bare * 1000, 1), "import_ms": round((whole - bare) * 1000, 1)}


def seconds_of(code: str) -> float:
    """Return the time to run Python code in a new process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    return time.perf_counter() - began


def measure_policy(physical: PhysicalTable) -> dict[str, float]:
    """Return the time of a guard's first decision, which reads the policies, and of decisions with cached policies."""
    policy_env = PolicyEnv(physical)
    for number in range(POLICIES):
        policy_env.create(name=f"policy {number}", resources=(f"tool:tool_{number}",))
    guard = policy_env.guard()
    began = time.perf_counter()
    guard.evaluate("route:POST /v1/chat")
    first = time.perf_counter() - began
    times = []
    for _ in range(DECISIONS):
        began = time.perf_counter()
        guard.evaluate("route:POST /v1/chat")
        times.append(time.perf_counter() - began)
    return {
        "own_policies": POLICIES,
        "first_ms": round(first * 1000, 2),
        "cached_p50_us": round(percentile(times, 0.5) * 1e6, 1),
        "cached_p99_us": round(percentile(times, 0.99) * 1e6, 1),
    }
