"""The families of models that can be loaded, a file each. To add one: its file, and its import."""

from inference_service.families.clip import Clip as Clip
from inference_service.families.siglip import Siglip as Siglip
from inference_service.family import Family

FAMILIES: dict[str, type[Family]] = {
    family.model_type: family for family in tuple(vars().values()) if hasattr(family, "model_type")
}
"""What is imported above, by the model_type of config.json."""
