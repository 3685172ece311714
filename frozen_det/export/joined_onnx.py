"""Two ONNX files as one: what the first gives under a name, the second takes under it.

A detector is traced in two parts: sizes of maps deep in a backbone are long expressions of the input's, and what the
heads do with them would be longer still; as inputs of a second part they are plain.
"""

from collections.abc import Mapping
from pathlib import Path


def join(first: Path, second: Path, path: Path, properties: Mapping[str, str]) -> None:
    """Write one file with the first's inputs, the second's inputs that the first does not give, and its outputs.

    Args:
        first, second: ONNX files of one opset.
        path: what is written.
        properties: metadata of the file.
    """
    import onnx
    from onnx.compose import add_prefix, merge_models

    one, two = onnx.load(str(first)), onnx.load(str(second))
    two = add_prefix(two, "decoder/", rename_inputs=False, rename_outputs=False)
    for model, name in ((one, "backbone"), (two, "decoder")):
        del model.metadata_props[:]
        # Runtimes share memory between values of one shape by the names of sizes, which both parts number from zero.
        del model.graph.value_info[:]
        for value in (*model.graph.input, *model.graph.output):
            for size in value.type.tensor_type.shape.dim:
                if size.dim_param:
                    size.dim_param = f"{name}_{size.dim_param}"
    given = {value.name for value in one.graph.output} & {value.name for value in two.graph.input}
    outputs = [value.name for value in two.graph.output]
    whole = merge_models(one, two, [(name, name) for name in sorted(given)], outputs=outputs)
    versions = {one.domain: one.version for one in whole.opset_import}  # each part names the same; readers want one
    del whole.opset_import[:]
    whole.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in versions.items())
    for key, value in properties.items():
        whole.metadata_props.add(key=key, value=value)
    onnx.save(whole, str(path))
