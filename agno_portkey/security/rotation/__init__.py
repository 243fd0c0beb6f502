"""Keys that are rotated without downtime, each quarter and when something has happened."""

from agno_portkey.errors import RevocationPending, RotationFailed, RotationUnderWay
from agno_portkey.security.rotation.admin import AdminFailed, admin_client
from agno_portkey.security.rotation.due import Due
from agno_portkey.security.rotation.makers import (
    ApiKeyMaker,
    IntegrationMaker,
    Made,
    Maker,
    VirtualKeyMaker,
)
from agno_portkey.security.rotation.probing import ModelProbe
from agno_portkey.security.rotation.rotation import DRAIN, Rotation
from agno_portkey.security.rotation.told import KeyStatus, Rotated, Step
from agno_portkey.security.rotation.watch import KeyWatch

__all__ = [
    "DRAIN",
    "AdminFailed",
    "ApiKeyMaker",
    "Due",
    "IntegrationMaker",
    "KeyStatus",
    "KeyWatch",
    "Made",
    "Maker",
    "ModelProbe",
    "RevocationPending",
    "Rotated",
    "Rotation",
    "RotationFailed",
    "RotationUnderWay",
    "Step",
    "VirtualKeyMaker",
    "admin_client",
]
