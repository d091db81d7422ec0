import dataclasses

import pytest

from ovsam.build import get_config
from ovsam.errors import ConfigError


@pytest.mark.parametrize(
    "name", ["hf-hub:someone/model", "hf_hub:a/b", "local-dir:/tmp/x", "resnet50", "convnext_a/b"]
)
def test_a_stored_config_cannot_make_timm_look_elsewhere(name):
    clip = get_config("convnext-b").clip
    assert clip.timm_name == "convnext_base"
    with pytest.raises(ConfigError, match="expected timm_name as convnext_"):
        dataclasses.replace(clip, timm_name=name)
