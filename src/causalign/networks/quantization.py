"""The check that a module is not quantized."""

from typing import Any

from torch import nn

from causalign.errors import InvalidArgument

_MODULES = ("quantized", "bitsandbytes", "torchao", "auto_gptq", "gptqmodel", "awq", "hqq", "quanto")
"""How the names of packages and modules of Python begin that define quantized layers and weights."""


def require_unquantized(module: nn.Module, name: str) -> None:
    """Check that no weight of a module is quantized.

    Args:
        module: The module.
        name: The name of the module in the error message.

    Raises:
        InvalidArgument: The module's configuration, a layer or a weight is quantized; it is named.
    """
    require_plain_config(getattr(module, "config", None), name)
    found = [
        f"{path or type(module).__name__} is a {type(each).__module__}.{type(each).__name__}"
        for path, each in module.named_modules()
        if _is_quantized(type(each))
    ]
    for path, weight in module.named_parameters():
        kind = next((each for each in (type(weight), type(weight.data)) if _is_quantized(each)), None)
        if kind is not None or not weight.is_floating_point():
            found.append(f"{path} is {weight.dtype if kind is None else kind.__name__}")
    if found:
        raise InvalidArgument(f"{name} is quantized ({found[0]}); load it in bfloat16 or float32")


def require_plain_config(config: Any, name: str) -> None:
    """Check that a configuration of Hugging Face declares no quantization, before or after its model is loaded.

    Args:
        config: The configuration, or `None` for a module without one.
        name: The name of the model in the error message.

    Raises:
        InvalidArgument: It declares one; its method is named.
    """
    declared = getattr(config, "quantization_config", None)
    if declared is not None:
        method = (declared if isinstance(declared, dict) else vars(declared)).get("quant_method")
        how = getattr(method, "value", method)
        raise InvalidArgument(f"{name} is quantized ({how}); load it in bfloat16 or float32")


def _is_quantized(kind: type) -> bool:
    return any(part.startswith(_MODULES) for part in kind.__module__.split("."))
