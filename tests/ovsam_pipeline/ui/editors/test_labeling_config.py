"""Label Studio's configuration → where answers go."""

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.export.label_studio import build_config
from ovsam_pipeline.ui.editors.labeling_config import read_labeling_config

CONFIG = """<View>
  <Header value="What is it?"/>
  <Image name="img" value="$picture" zoom="true"/>
  <View><RectangleLabels name="box" toName="img"><Label value="cat"/></RectangleLabels></View>
  <KeyPointLabels name="click" toName="img" smart="true"><Label value="name it"/></KeyPointLabels>
  <BrushLabels name="mask" toName="img">
    <View><Label value="Coffee Cup" alias="cup"/></View><Label value="a, &lt;b&gt;"/>
  </BrushLabels>
  <Choices name="ok" toName="img"><Choice value="reject"/></Choices>
</View>"""


def test_masks_go_before_boxes():
    config = read_labeling_config(CONFIG)
    assert (config.image, config.data_key, config.control, config.shape) == (
        "img",
        "picture",
        "mask",
        "brush",
    )
    assert config.names == ("Coffee Cup", "a, <b>")
    assert config.labels == {"Coffee Cup": "cup", "a, <b>": "a, <b>"}


def test_names_are_matched_whatever_their_capitals():
    config = read_labeling_config(CONFIG)
    assert config.find_label("coffee_cup") == config.find_label("COFFEE CUP") == "cup"
    assert config.find_label("mug") is None
    assert config.has_label("cup")
    assert not config.has_label("name it")


def test_configuration_of_our_exports_is_read():
    config = read_labeling_config(build_config(("mug", "a & b")))
    assert (config.shape, config.names) == ("brush", ("mug", "a & b"))


def test_boxes_alone_and_polygons_alone_are_taken():
    for tag, shape in (("RectangleLabels", "rectangle"), ("PolygonLabels", "polygon")):
        text = f"<View><Image name='i' value='$x'/><{tag} name='b' toName='i'><Label value='c'/>"
        assert read_labeling_config(f"{text}</{tag}></View>").shape == shape


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "cannot be read"),
        ("<View>", "cannot be read"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><View/>", "document type"),
        ("<View/>", "expected a labelling configuration with an <Image>"),
        (CONFIG.replace("<Image", "<Audio"), "with an <Image>"),
        ("<View>" * 200, "nested"),
        ("x" * (9 << 20), "at most 8 MB"),
    ],
)
def test_other_configurations_are_refused(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_labeling_config(text)
