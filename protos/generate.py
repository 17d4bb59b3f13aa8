"""Generate the Python stubs from the protos, with the compiler pinned in requirements.lock.

    python protos/generate.py           write protos/python/src
    python protos/generate.py --check   fail when what is committed differs
    python protos/generate.py --imports-only   only lay out the protos that ours import, for buf

The stub package also carries one descriptor set with source info, so that the gateway can serve the
comments of the protos as API documentation.
"""

from __future__ import annotations

import argparse
import filecmp
import importlib.resources
import os
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
OUTPUT = ROOT / "python" / "src"
VENDOR = ROOT.parent / ".protos-vendor"
IMPORTED = (
    "google/api/annotations.proto",
    "google/api/http.proto",
    "google/api/httpbody.proto",
    "google/rpc/status.proto",
)
DESCRIPTORS = "t2m/descriptors.binpb"
MARKER = "t2m/py.typed"


def copy_imports() -> None:
    """Copy the .proto files that ours import out of the installed package, for protoc and buf."""
    package = importlib.resources.files("google.api").joinpath("..")
    for name in IMPORTED:
        target = VENDOR / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(str(package), "..", name).resolve().read_bytes())


def generate(output: Path) -> None:
    """Run protoc over every proto of ours into `output`."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "t2m").rglob("*.proto"))
    well_known = str(importlib.resources.files("grpc_tools") / "_proto")
    (output / DESCRIPTORS).parent.mkdir(parents=True, exist_ok=True)
    code = protoc.main(
        [
            "protoc",
            f"--proto_path={ROOT}",
            f"--proto_path={VENDOR}",
            f"--proto_path={well_known}",
            f"--python_out={output}",
            f"--mypy_out=quiet:{output}",
            f"--grpc_python_out={output}",
            f"--mypy_grpc_out=quiet:{output}",
            f"--descriptor_set_out={output / DESCRIPTORS}",
            "--include_imports",
            "--include_source_info",
            *sources,
        ]
    )
    if code != 0:
        raise SystemExit(code)
    for stub in output.rglob("*_pb2_grpc.py"):
        if "class " not in stub.read_text():  # protoc writes one for files without a service, too
            stub.unlink()
            stub.with_suffix(".pyi").unlink()
    for folder in [output / "t2m", *(path for path in (output / "t2m").rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()
    (output / MARKER).touch()


def files_of(folder: Path) -> set[str]:
    """Relative paths of the generated files below `folder`."""
    return {
        str(path.relative_to(folder))
        for path in (folder / "t2m").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(fresh: Path) -> list[str]:
    """Paths that are missing, extra or different in the committed stubs."""
    wanted, present = files_of(fresh), files_of(OUTPUT)
    changed = {name for name in wanted & present if not filecmp.cmp(fresh / name, OUTPUT / name, shallow=False)}
    return sorted((wanted ^ present) | changed)


def replace(fresh: Path) -> None:
    """Bring the committed stubs up to date, file by file: whoever imports them meanwhile finds each, old or new."""
    present = files_of(OUTPUT)
    for name in differences(fresh):
        source, target = fresh / name, OUTPUT / name
        if name in present and not source.exists():
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(source, partial)
        partial.replace(target)


def main() -> None:
    """Entry point of `make generate` and `make check-generate`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of write")
    parser.add_argument("--imports-only", action="store_true", help="only copy the imported protos")
    options = parser.parse_args()
    copy_imports()
    if options.imports_only:
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        if options.check:
            stale = differences(Path(scratch))
            if stale:
                sys.exit("stubs differ from the protos, run `make generate`:\n  " + "\n  ".join(stale))
            return
        replace(Path(scratch))


if __name__ == "__main__":
    main()
