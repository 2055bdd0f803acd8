"""What is read of each GPU: dcgm-exporter's metrics by the words that we use for them, with their units."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """One quantity. A sample times `scale` has `unit`; `low` and `high` bound what a sound GPU shows, both included.

    `is_of_use` says that what is out of bounds is so by the way the GPU is used and cooled, not by a broken reading.
    `metrics` are the names under which exporters know it; of several, the first that has samples counts.
    """

    name: str
    title: str
    unit: str
    metrics: tuple[str, ...]
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    is_counter: bool = False
    is_of_use: bool = False

    def __str__(self) -> str:
        return self.name


UTILISATION = Field("utilisation", "GPU utilisation", "%", ("DCGM_FI_DEV_GPU_UTIL",), low=0, high=100)
MEMORY = Field("memory", "GPU memory used", "GiB", ("DCGM_FI_DEV_FB_USED",), scale=1 / 1024, low=0)
POWER = Field("power", "GPU power", "W", ("DCGM_FI_DEV_POWER_USAGE",), low=0, high=1500)
TEMPERATURE = Field("temperature", "GPU temperature", "°C", ("DCGM_FI_DEV_GPU_TEMP",), low=0, high=87, is_of_use=True)
CLOCK = Field("clock", "SM clock", "MHz", ("DCGM_FI_DEV_SM_CLOCK",), low=0)
ENERGY = Field("energy", "energy counter", "J", ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",), 1 / 1000, is_counter=True)
XID = Field("xid", "last XID error", "code", ("DCGM_FI_DEV_XID_ERRORS",))
REASONS = Field(
    "reasons", "reasons of a low clock", "bits",
    ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"),
)  # fmt: skip

FIELDS = (UTILISATION, MEMORY, POWER, TEMPERATURE, CLOCK, ENERGY, XID, REASONS)
BY_METRIC = {metric: field for field in FIELDS for metric in field.metrics}

# NVML's bits that mean: the hardware or its driver slowed the GPU down. (A software power cap, 0x4, is how many GPUs
# run at full load; idle, 0x1, and clocks that somebody set, 0x2, are no throttling either.)
THROTTLING = {0x08: "hardware slowdown", 0x20: "heat (driver)", 0x40: "heat (hardware)", 0x80: "power brake"}

# NVIDIA's catalogue of XID errors, the ones that a lab meets; https://docs.nvidia.com/deploy/xid-errors has them all.
XIDS = {
    13: "an illegal instruction or address in a program",
    31: "a program touched memory that is not its own",
    43: "a program was stopped after an error of its own",
    45: "a program was ended from outside",
    48: "memory error that could not be corrected",
    61: "firmware stopped",
    62: "firmware stopped",
    63: "a memory row was taken out of use",
    64: "a memory row could not be taken out of use",
    74: "NVLink error",
    79: "the GPU has fallen off the bus",
    92: "many corrected memory errors",
    94: "contained memory error",
    95: "memory error that was not contained",
    119: "the GPU's system processor does not answer",
    120: "the GPU's system processor failed",
}
