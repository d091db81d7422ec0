"""Folders with tiny random detectors of `transformers`, as its users save them."""

import json

import torch
import transformers as hf

NAMES = {0: "bird", 1: "cat", 2: "dog", 3: "traffic light"}
WORDS = ["a", "photo", "of", "cat", "red", "sparrow", "mug", "dog", "st", "bernard"]


def _resnet(stages):
    sizes = {"embedding_size": 8, "hidden_sizes": [8] * 4, "depths": [1] * 4}
    return {"layer_type": "basic", "out_features": stages, **sizes}


def _detr_sizes(width=16):
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    layers = {"encoder_layers": 1, "decoder_layers": 2}
    return {
        "d_model": width,
        "encoder_ffn_dim": 16,
        "decoder_ffn_dim": 16,
        "num_queries": 12,
        **heads,
        **layers,
    }


def _plain(stages):
    body = hf.ResNetConfig(**_resnet(stages))
    return {"use_timm_backbone": False, "backbone": None, "backbone_config": body}


def make_detr(names=NAMES):
    config = hf.DetrConfig(**_plain(["stage4"]), **_detr_sizes(), id2label=names)
    size = {"shortest_edge": 48, "longest_edge": 96}
    return hf.DetrForObjectDetection(config), hf.DetrImageProcessor(size=size)


def make_deformable_detr():
    config = hf.DeformableDetrConfig(
        **_plain(["stage2", "stage3", "stage4"]),
        **_detr_sizes(32),
        id2label=NAMES,
        with_box_refine=True,
        two_stage=True,
        two_stage_num_proposals=12,
    )
    size = {"shortest_edge": 48, "longest_edge": 96}
    return hf.DeformableDetrForObjectDetection(config), hf.DeformableDetrImageProcessor(size=size)


def _rt_detr_sizes(names=NAMES):
    body = hf.RTDetrResNetConfig(**_resnet(["stage2", "stage3", "stage4"]))
    sizes = _detr_sizes() | {"encoder_hidden_dim": 16, "num_denoising": 0}
    channels = {"encoder_in_channels": [8] * 3, "decoder_in_channels": [16] * 3}
    return {"backbone_config": body, **channels, **sizes, "id2label": names}


def make_rt_detr(names=NAMES):
    model = hf.RTDetrForObjectDetection(hf.RTDetrConfig(**_rt_detr_sizes(names)))
    return model, hf.RTDetrImageProcessor(size={"height": 64, "width": 64})


def make_rt_detr_v2():
    model = hf.RTDetrV2ForObjectDetection(hf.RTDetrV2Config(**_rt_detr_sizes()))
    return model, hf.RTDetrImageProcessor(size={"height": 64, "width": 64})


def make_d_fine():
    body = hf.HGNetV2Config(
        hidden_sizes=[8] * 4,
        stem_channels=[3, 8, 8],
        stage_in_channels=[8] * 4,
        stage_mid_channels=[8] * 4,
        stage_out_channels=[8] * 4,
        stage_num_blocks=[1] * 4,
        stage_numb_of_layers=[1] * 4,
        out_features=["stage2", "stage3", "stage4"],
    )
    sizes = _rt_detr_sizes() | {"backbone_config": body}
    model = hf.DFineForObjectDetection(hf.DFineConfig(**sizes))
    return model, hf.RTDetrImageProcessor(size={"height": 64, "width": 64})


def make_yolos():
    config = hf.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[48, 96],
        num_detection_tokens=10,
        id2label=NAMES,
    )
    size = {"shortest_edge": 48, "longest_edge": 96}
    return hf.YolosForObjectDetection(config), hf.YolosImageProcessor(size=size)


CLOSED = {
    "detr": make_detr,
    "deformable_detr": make_deformable_detr,
    "rt_detr": make_rt_detr,
    "rt_detr_v2": make_rt_detr_v2,
    "d_fine": make_d_fine,
    "yolos": make_yolos,
}


def _owl_sizes():
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "max_position_embeddings": 16, "vocab_size": 200}
    text |= {"bos_token_id": 188, "eos_token_id": 189, "pad_token_id": 0}
    image = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    image |= {"num_attention_heads": 2, "image_size": 64, "patch_size": 16}
    return {"text_config": text, "vision_config": image, "projection_dim": 16}


def make_owlv2():
    model = hf.Owlv2ForObjectDetection(hf.Owlv2Config(**_owl_sizes()))
    return model, hf.Owlv2ImageProcessor(size={"height": 64, "width": 64})


def make_owlvit():
    model = hf.OwlViTForObjectDetection(hf.OwlViTConfig(**_owl_sizes()))
    return model, hf.OwlViTImageProcessor(size={"height": 64, "width": 64})


def _grounding_sizes(max_text_len):
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "vocab_size": 1100}
    body = hf.SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[2] * 4,
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    return {
        "text_config": hf.BertConfig(**text),
        "backbone_config": body,
        **_detr_sizes(32),
        "max_text_len": max_text_len,
    }


def make_grounding_dino(max_text_len=256):
    config = hf.GroundingDinoConfig(**_grounding_sizes(max_text_len))
    size = {"shortest_edge": 48, "longest_edge": 96}
    model = hf.GroundingDinoForObjectDetection(config)
    return model, hf.GroundingDinoImageProcessor(size=size)


def make_mm_grounding_dino(max_text_len=256):
    config = hf.MMGroundingDinoConfig(**_grounding_sizes(max_text_len))
    size = {"shortest_edge": 48, "longest_edge": 96}
    model = hf.MMGroundingDinoForObjectDetection(config)
    return model, hf.GroundingDinoImageProcessor(size=size)


def save_clip_tokenizer(folder):
    """A tokenizer of OWL's kind that splits words into letters."""
    letters = [chr(code) for code in range(33, 127)]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters)]
    # The network looks for the end of a text at its largest id.
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = hf.CLIPTokenizer.from_pretrained(folder, pad_token="!", model_max_length=16)
    tokenizer.save_pretrained(folder)


def save_bert_tokenizer(folder):
    """A tokenizer of Grounding DINO's kind, with "." and "?" where the network expects them."""
    pieces = [f"[unused{index}]" for index in range(1100)]
    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?"}
    for index, piece in (fixed | dict(enumerate(WORDS, 200))).items():
        pieces[index] = piece
    pieces[300], pieces[301] = "##pack", "back"
    (folder / "vocab.txt").write_text("\n".join(pieces))
    hf.BertTokenizer.from_pretrained(folder).save_pretrained(folder)


def save_tiny_model(folder, make, save_tokenizer=None, seed=0):
    """Save model, image processor and tokenizer, with weights that make boxes differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, processor = make()
        with torch.no_grad():
            # Too much turns the boxes of D-FINE inside out.
            noise = 0.01 if model.config.model_type == "d_fine" else 0.1
            for values in model.parameters():
                values.add_(torch.randn(values.shape) * noise)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if save_tokenizer is not None:
        save_tokenizer(folder)
    return folder
