"""The tiny autoencoders as their author releases them: one half a file, as bare numbered layers.

Layer 0 of a decoder is the soft clamp there, which has no weights; so a file with a "0.weight" is an encoder,
and a decoder's layers count one more than ours.
"""

from darkroom.weights.keymap import KeyMap, Shapes, rule


def from_release(shapes: Shapes) -> KeyMap:
    """The key map of ``taesd_decoder.safetensors``, ``taef1_encoder.pth`` and their like."""
    half, offset = ("encoder", 0) if "0.weight" in shapes else ("decoder", 1)
    layers = sorted({int(number) for name in shapes if (number := name.partition(".")[0]).isdigit()})
    return KeyMap(
        tuple(
            rule(f"{layer}.{rest}", f"{half}.layers.{layer - offset}.{rest}")
            for layer in layers
            for rest in ("{w}", "conv.{k}.{w}")
        )
    )
