"""Renew the files of onnxruntime-web: `python -m ganforge_web.vendor VERSION`.

npm downloads and verifies the package; the licenses are those of the installed onnxruntime. The program for WebAssembly
is compressed, since it has 14 MB.
"""

from __future__ import annotations

import lzma
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import distribution
from pathlib import Path

RUNTIME = Path(__file__).parent / "runtime"
FILES = {"ort.wasm.bundle.min.mjs": "ort.mjs", "ort-wasm-simd-threaded.wasm": "ort.wasm.xz"}
LICENSES = {"LICENSE": "LICENSE", "ThirdPartyNotices.txt": "ThirdPartyNotices.txt.xz"}


def main(version: str) -> None:
    """Replace the files by those of a version."""
    contents = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", f"onnxruntime-web@{version}"], check=True, cwd=folder)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            for name, target in FILES.items():
                file = package.extractfile(f"package/dist/{name}")
                if file is None:
                    sys.exit(f"the package has no {name}")
                contents[target] = file.read()
    for name, target in LICENSES.items():
        contents[target] = Path(str(distribution("onnxruntime").locate_file(f"onnxruntime/{name}"))).read_bytes()
    RUNTIME.mkdir(exist_ok=True)
    for target, content in contents.items():
        packed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME) if target.endswith(".xz") else content
        (RUNTIME / target).write_bytes(packed)


if __name__ == "__main__":
    main(*sys.argv[1:])
