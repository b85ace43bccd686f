"""How long a replica takes to load its weights: from disk, and from the page cache, into the device's memory."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sim.errors import BadInput
from sim.profile.file import Loading
from sim.profile.measure.ceiling import four_digits
from sim.profile.measure.machine import Machine


def loading_of(model: Any, machine: Machine) -> Loading:
    """Write the model's weights as safetensors into a temporary folder and time reading them back to the device.

    The first reading comes from the disk, whose cached pages are dropped before; the second from the page cache.
    Raises BadInput without safetensors, and where the disk has no room.
    """
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise BadInput("timing the load needs safetensors", expected="pip install safetensors") from None
    with tempfile.TemporaryDirectory() as place:
        files = []
        for number, module in enumerate(modules_of(model)):
            files.append(Path(place) / f"{number}.safetensors")
            try:
                save_file(own_tensors(module), files[-1])
            except OSError as wrong:
                raise BadInput(f"the weights cannot be written ({wrong.strerror})", file=files[-1]) from None
        forget_pages(files)
        from_disk, from_cache = read_seconds(files, machine), read_seconds(files, machine)
        size = sum(file.stat().st_size for file in files) / 2**30
    return Loading(gib=four_digits(size), from_disk_s=four_digits(from_disk), from_page_cache_s=four_digits(from_cache))


def modules_of(model: Any) -> Iterator[nn.Module]:
    """The parts of a model that have weights of their own."""
    for value in vars(model).values():
        found = value.values() if isinstance(value, dict) else [value]
        yield from (part for part in found if isinstance(part, nn.Module))


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's tensors by name, one that two layers share once."""
    seen: dict[int, str] = {}
    for name, tensor in module.state_dict().items():
        seen.setdefault(tensor.data_ptr(), name)
    return {name: module.state_dict()[name].contiguous() for name in seen.values()}


def forget_pages(files: list[Path]) -> None:
    """Drop the cached pages of files, so that they are read from the disk again."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def read_seconds(files: list[Path], machine: Machine) -> float:
    """Seconds until the content of files is in the device's memory."""
    from safetensors.torch import load_file

    began = time.perf_counter()
    for file in files:
        load_file(file, device=machine.device)
        machine.synchronize()
    taken = time.perf_counter() - began
    machine.empty_cache()
    return taken
