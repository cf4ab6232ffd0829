"""What a transformers model holds: every matrix and how, every tensor and its bytes, whatever made them."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from quantbench.decoding.decoder import HeldMatrix
from quantbench.decoding.module_tensors import (
    FLOAT_SCHEMES,
    FormOf,
    ModuleForm,
    matrix_of,
    module_tensors,
    plain_tensors,
)
from quantbench.decoding.packed_modules import PackedMatrix
from quantbench.decoding.packed_stacks import stacks_of


class Account:
    """Made anew whenever something is asked: libraries repack while a model runs."""

    def __init__(self, model: Any, form_of: FormOf) -> None:
        self._modules: dict[str, nn.Module] = dict(model.named_modules())
        self._form_of = form_of

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every plain tensor that holds parameters, once; those of a matrix begin with its name."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            yield from module_tensors(name, module, seen)
            for field, stack in stacks_of(module).items():
                for part, tensor in stack.packed.tensors():
                    yield from plain_tensors(f"{name}.{field}:{part}", tensor, seen)

    def matrices(self) -> Iterator[tuple[str, ModuleForm, list[nn.Module]]]:
        """Every matrix once, with its form and the modules that share it: layers', then other parameters.

        The latter have two and more dimensions and no layer of their own (experts, convolutions).
        """
        sharing: dict[int, list[str]] = {}
        for name, module in self._modules.items():
            if (matrix := matrix_of(module)) is not None:
                sharing.setdefault(id(matrix), []).append(name)
        for names in sharing.values():
            owners = [self._modules[name] for name in names]
            yield f"{names[0]}.weight", self._form(f"{names[0]}.weight", owners[0]), owners
        seen = set(sharing)
        for name, module in self._modules.items():
            for field, stack in stacks_of(module).items():
                yield f"{name}.{field}", stack.form(), [module]
            for field, parameter in module._parameters.items():
                if parameter is not None and is_matrix(parameter) and id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield f"{name}.{field}" if name else field, parameter_form(parameter), [module]

    def _form(self, name: str, module: nn.Module) -> ModuleForm:
        return module.form() if isinstance(module, PackedMatrix) else self._form_of(name, module)

    def held(self) -> Iterator[HeldMatrix]:
        """The matrices with their bytes and kernels; biases are no part of them."""
        sizes: dict[str, int] = {}
        for name, tensor in self.tensors():
            matrix = name.partition(":")[0]
            sizes[matrix] = sizes.get(matrix, 0) + tensor.nbytes
        for name, form, owners in self.matrices():
            kernel = "; as the head ".join(self._kernels(form, owners))
            yield HeldMatrix(
                name=name,
                format=form.format or form.scheme,
                group_size=form.group_size,
                parameters=form.parameters,
                nbytes=sizes.get(name, 0),
                kernel=kernel,
                prompt_kernel=kernel,
                tied=len(owners) > 1,
            )

    def _kernels(self, form: ModuleForm, owners: Sequence[nn.Module]) -> list[str]:
        """What each of the modules that share a matrix runs."""
        return [form.kernel or class_of(owners[0]), *(kernel_of(module) for module in owners[1:])]

    def linear_kernels(self) -> list[str]:
        """What multiplies matrices, embeddings apart."""
        kernels: set[str] = set()
        for _, form, owners in self.matrices():
            ways = zip(self._kernels(form, owners), owners, strict=True)
            kernels |= {kernel for kernel, owner in ways if not isinstance(owner, nn.Embedding)}
        return sorted(kernels)


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter is an unquantized matrix, or several in one."""
    return parameter.dim() >= 2 and parameter.dtype in FLOAT_SCHEMES


def parameter_form(parameter: Tensor) -> ModuleForm:
    """The form of a matrix that its module multiplies in its own way."""
    return ModuleForm(scheme=FLOAT_SCHEMES[parameter.dtype], parameters=parameter.numel())


def kernel_of(module: nn.Module) -> str:
    """What a module says of itself, or its class."""
    return module.kernel if isinstance(module, PackedMatrix) else class_of(module)


def class_of(module: nn.Module) -> str:
    """'torch's Linear'."""
    return f"{type(module).__module__.partition('.')[0]}'s {type(module).__name__}"
