"""The operators that a served model may use, by name: tensor arithmetic and shape handling.

A list of what is allowed, since what is dangerous grows with every torch release: `from_file`
writes to the disk, `set_` and its like reach past a tensor's own memory, and the target of a node
may name anything below the `torch` module. Operators of other namespaces (custom ones, quantized,
higher order) have code of their own behind them and are refused. A missing one that only computes
may be added here.
"""

from __future__ import annotations

import re

ATEN = {
    "arithmetic, element by element": """
        abs add addcdiv addcmul alias ceil clamp clamp_max clamp_min clip clone contiguous copy
        cos cosh deg2rad detach div divide dropout erf erfc exp exp2 expm1 feature_dropout floor
        floor_divide fmod frac lerp lift_fresh_copy log log10 log1p log2 logical_and logical_not
        logical_or logical_xor logit maximum minimum mul multiply nan_to_num neg negative pow
        rad2deg reciprocal remainder round rsqrt rsub sigmoid sign sin sinh sqrt square sub
        subtract tan tanh true_divide trunc xlogy
    """,
    "comparison and choice": """
        bitwise_and bitwise_not bitwise_or bitwise_xor eq ge gt isfinite isinf isnan le lt
        masked_fill ne where
    """,
    "activations": """
        celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu log_sigmoid log_softmax mish
        prelu relu relu6 selu silu softmax softplus _log_softmax _softmax
    """,
    "layers": """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d
        avg_pool1d avg_pool2d batch_norm bilinear conv1d conv2d conv3d conv_transpose1d
        conv_transpose2d convolution embedding group_norm gru gru_cell instance_norm layer_norm
        linear lstm lstm_cell max_pool1d max_pool2d native_batch_norm native_group_norm
        native_layer_norm rms_norm rnn_relu rnn_tanh scaled_dot_product_attention
        _native_batch_norm_legit_no_training
    """,
    "matrices": """
        addbmm addmm addmv baddbmm bmm cosine_similarity dot einsum linalg_norm
        linalg_vector_norm matmul mm mv norm outer pairwise_distance t
    """,
    "reduction, order and search": """
        all amax amin any argmax argmin argsort bucketize cumsum logsumexp max mean median min
        prod searchsorted sort std sum topk var var_mean
    """,
    "shape": """
        broadcast_to cat chunk concat constant_pad_nd diagonal expand expand_as flatten flip
        gather hstack index index_select movedim narrow new_full new_ones new_zeros one_hot pad
        permute repeat repeat_interleave reshape roll scatter select slice split
        split_with_sizes squeeze stack tile transpose tril triu unbind unflatten unsqueeze view
        view_as vstack
    """,
    "making tensors, types": """
        arange full full_like lift_fresh ones ones_like scalar_tensor to type_as zeros
        zeros_like _to_copy
    """,
    "sizes and assertions that the exporter adds": """
        sym_constrain_range sym_constrain_range_for_size sym_numel sym_size sym_stride
        _assert_scalar _assert_tensor_metadata
    """,
}
_COMPUTING = frozenset(name for names in ATEN.values() for name in names.split())
_SIZES = {
    *("add", "sub", "mul", "floordiv", "mod", "neg", "pow"),
    *("eq", "ne", "lt", "le", "gt", "ge", "getitem"),
}
_SYMBOLIC = {"sym_float", "sym_int", "sym_max", "sym_min", "sym_not"}
_OVERLOAD = re.compile(r"[A-Za-z0-9_]{1,64}")


def allowed(target: object) -> bool:
    """Whether a node may call `target`, a name as torch.export writes it (`torch.ops.aten.…`)."""
    if not isinstance(target, str):
        return False
    match target.split("."):
        case ["torch", "ops", "aten", name, overload]:
            # the trailing underscore is the form that works in place
            known = name in _COMPUTING or name.removesuffix("_") in _COMPUTING
            # an `out` form writes its answer into another tensor, a weight for instance
            writes = overload == "out" or overload.endswith("_out")
            return known and not writes and _OVERLOAD.fullmatch(overload) is not None
        case ["_operator", name]:
            return name in _SIZES
        case ["torch", name]:
            return name in _SYMBOLIC
    return False
