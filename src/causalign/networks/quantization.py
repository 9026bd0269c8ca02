"""The check that a module is not quantized."""

from typing import Any

from torch import nn

from causalign.errors import InvalidArgument

_MODULES = ("quantized", "bitsandbytes", "torchao", "auto_gptq", "gptqmodel", "awq", "hqq", "quanto")
"""Parts of the names of Python modules that define quantized layers and weights."""


def require_unquantized(module: nn.Module, name: str) -> None:
    """Check that no weight of a module is quantized.

    Args:
        module: The module.
        name: The name of the module in the error message.

    Raises:
        InvalidArgument: The module's configuration, a layer or a weight is quantized; it is named.
    """
    config = getattr(getattr(module, "config", None), "quantization_config", None)
    found = [] if config is None else [str(method_of(config))]
    found += [
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


def method_of(config: Any) -> Any:
    """Return the method that a `quantization_config` names, such as `bitsandbytes`."""
    fields = config if isinstance(config, dict) else vars(config)
    method = fields.get("quant_method")
    return getattr(method, "value", method)


def _is_quantized(kind: type) -> bool:
    return any(part in kind.__module__ for part in _MODULES)
