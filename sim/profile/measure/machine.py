"""The machine under the benchmark: what it is, and what it does meanwhile (power, clocks, temperature, throttling)."""

import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from sim.errors import BadInput

THROTTLES = {  # NVML's clock event reasons that slow a GPU down
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "hardware power brake",
}


@dataclass(frozen=True)
class Reading:
    """What NVML says at one instant; None where it does not."""

    energy_mj: int | None = None
    power_w: float | None = None
    clock_mhz: float | None = None
    temperature_c: float | None = None
    throttled: list[str] = field(default_factory=list)


class Machine:
    """A device to measure on: 'cuda' or 'cpu'."""

    def __init__(self, device: str):
        if device == "cuda" and not torch.cuda.is_available():
            why = f"this torch ({torch.__version__}) sees no usable CUDA device"
            raise BadInput(why, key="--device", value=device, expected="a GPU, its driver and a CUDA build; or cpu")
        self.device = device
        if device == "cpu":
            torch.set_num_threads(1)  # a second thread waits for whatever else the machine does
        self.nvml: Any
        self.handle: Any
        self.nvml, self.handle = connected() if device == "cuda" else (None, None)

    @property
    def gpu(self) -> bool:
        return self.device == "cuda"

    def synchronize(self) -> None:
        if self.gpu:
            torch.cuda.synchronize()

    def name(self) -> str:
        return torch.cuda.get_device_name() if self.gpu else f"CPU: {processor()}"

    def total_memory(self) -> float:
        """Bytes that a workload may fill."""
        if self.gpu:
            return float(torch.cuda.get_device_properties(0).total_memory)
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))

    def peak_memory(self) -> float:
        """Peak bytes allocated since forget_peak(); nan-free 0 on a CPU, where torch does not count them."""
        return float(torch.cuda.max_memory_allocated()) if self.gpu else 0.0

    def forget_peak(self) -> None:
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()

    def empty_cache(self) -> None:
        if self.gpu:
            torch.cuda.empty_cache()

    def read(self) -> Reading:
        """Energy, power, clock, temperature and throttle reasons now; empty where there is no NVML."""
        if self.nvml is None:
            return Reading()
        n, h = self.nvml, self.handle
        reasons = attempt(lambda: n.nvmlDeviceGetCurrentClocksEventReasons(h)) or 0
        milliwatts = attempt(lambda: n.nvmlDeviceGetPowerUsage(h))
        return Reading(
            energy_mj=attempt(lambda: n.nvmlDeviceGetTotalEnergyConsumption(h)),
            power_w=None if milliwatts is None else milliwatts / 1000,
            clock_mhz=attempt(lambda: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM)),
            temperature_c=attempt(lambda: n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU)),
            throttled=[name for bit, name in THROTTLES.items() if reasons & bit],
        )

    def power_limit(self) -> float | None:
        if self.nvml is None:
            return None
        milliwatts = attempt(lambda: self.nvml.nvmlDeviceGetEnforcedPowerLimit(self.handle))
        return None if milliwatts is None else milliwatts / 1000

    def idle_power(self) -> float | None:
        """Mean watts while nothing runs, the model being loaded."""
        if self.nvml is None:
            return None
        self.synchronize()
        readings = []
        until = time.perf_counter() + 2.0
        while time.perf_counter() < until:
            time.sleep(0.1)
            readings.append(self.read().power_w)
        known = [power for power in readings if power is not None]
        return sum(known) / len(known) if known else None

    def environment(self) -> dict[str, Any]:
        """Everything about hardware and software that a reader of the figures may ask for."""
        facts: dict[str, Any] = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "platform": platform.platform(terse=True),
            "arguments": sys.argv[1:],
            "commit": commit(),
        }
        for package in ("diffusers", "transformers"):
            with suppress(PackageNotFoundError):
                facts[package] = version(package)
        return {**facts, **self.gpu_facts()} if self.gpu else facts

    def gpu_facts(self) -> dict[str, Any]:
        properties = torch.cuda.get_device_properties(0)
        return {
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "driver": attempt(lambda: text(self.nvml.nvmlSystemGetDriverVersion())) if self.nvml else None,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
            "flash_attention": torch.backends.cuda.flash_sdp_enabled(),
            "cudnn_attention": getattr(torch.backends.cuda, "cudnn_sdp_enabled", lambda: None)(),
        }


def connected() -> tuple[Any, Any]:
    """NVML and the handle of the GPU that torch uses; (None, None) where it cannot be reached."""
    try:
        import pynvml

        pynvml.nvmlInit()
        uuid = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
        handle = attempt(lambda: pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")) if uuid else None
        return pynvml, handle or pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:  # noqa: BLE001 - no NVML is no reason not to measure time
        return None, None


def attempt(call: Any) -> Any:
    """What NVML answers; None for a question this GPU does not support."""
    try:
        return call()
    except Exception:  # noqa: BLE001 - NVML raises its own error for each unsupported query
        return None


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            found = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        found = ""
    return f"{found or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def commit() -> str:
    """The commit of the code that measures, '+' behind it where files were changed; '' outside a checkout."""
    head, changes = git("rev-parse", "--short", "HEAD"), git("status", "--porcelain")
    return head + ("+" if head and changes else "")


def git(*arguments: str) -> str:
    """Git's answer about this checkout; '' where there is none."""
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
