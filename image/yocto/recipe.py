"""The text of a recipe, by OpenEmbedded's style guide and in the order that oelint asks for. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from image.errors import BuildError
from image.yocto.known import Known, Package
from image.yocto.sdist import Sdist

_CLASSES = {
    "flit_core.buildapi": "python_flit_core",
    "hatchling.build": "python_hatchling",
    "maturin": "python_maturin",
    "poetry.core.masonry.api": "python_poetry_core",
    "scikit_build_core.build": "python_pep517",
    "setuptools.build_meta": "python_setuptools_build_meta",
    "uv_build": "python_pep517",
    None: "setuptools3",
}
# What the class of a back end brings along: the rest of what a package asks for is a dependency of its recipe.
_BROUGHT = {
    "python_flit_core": {"flit-core"},
    "python_hatchling": {"hatchling"},
    "python_maturin": {"maturin"},
    "python_poetry_core": {"poetry-core"},
    "python_setuptools_build_meta": {"setuptools", "wheel"},
    "cython": {"cython"},
}
_NOTE = "# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.\n"


def file_name(sdist: Sdist, known: Known) -> str:
    """The recipe's file."""
    return f"{known.recipe_name(sdist.name)}_{sdist.version}.bb"


def render(sdist: Sdist, needs: Iterable[str], known: Known) -> str:
    """The recipe of a package that needs those others at run time.

    Raises BuildError where its licence or its back end isn't known.
    """
    own = known.packages.get(sdist.name, Package())
    name = known.recipe_name(sdist.name)
    build_class = _build_class(sdist)
    inherit = ["pypi", build_class, *own.inherit]
    brought = {name for inherited in inherit for name in _BROUGHT.get(inherited, ())}
    depends = {*own.depends, *(_native(tool) for tool in _tools(sdist) if tool not in brought)}
    rdepends = {*own.rdepends, *known.recipe_names(needs)}
    options = [*(["--skip-dependency-check"] if _newer_wanted(sdist, known) else []), *own.build_options]

    lines = [
        _NOTE,
        _assign("SUMMARY", _sentence(own.summary or sdist.summary)),
        _assign("HOMEPAGE", sdist.homepage),
        _assign("LICENSE", _licence(sdist, own)),
    ]
    files = own.licence_files or sdist.licence_files
    lines.append(_listed("LIC_FILES_CHKSUM", [f"file://{file};md5={sdist.md5[file]}" for file in files]))
    if depends:
        lines.append("\n" + _listed("DEPENDS", sorted(depends), "+="))
    lines.append("\n" + _assign("SRC_URI[sha256sum]", sdist.sha256))
    if sdist.crates:
        lines.append("\nrequire ${BPN}-crates.inc\n")
    lines.append(f"\ninherit {' '.join(inherit)}\n")
    if (stem := sdist.stem.removesuffix(f"-{sdist.version}")) != name.removeprefix("python3-"):
        lines.append("\n" + _assign("PYPI_PACKAGE", stem))
    if options:
        lines.append("\n" + _listed("PEP517_BUILD_OPTS", options))
    if own.body:
        lines.append(f"\n{own.body}")
    if rdepends:
        lines.append("\n" + _listed("RDEPENDS:${PN}", sorted(rdepends), "+="))
    if own.rprovides:
        lines.append("\n" + _listed("RPROVIDES:${PN}", list(own.rprovides), "+="))
    if own.stripped:
        lines.append(
            "\n# Its build strips what it links.\n# nooelint: oelint.vars.insaneskip\n"
            + _assign("INSANE_SKIP:${PN}", "already-stripped", "+=")
        )
    lines.append("\n" + _assign("BBCLASSEXTEND", "native nativesdk"))
    return "".join(lines)


def render_crates(sdist: Sdist) -> str:
    """The file beside the recipe with all that `Cargo.lock` pins, as cargo-update-recipe-crates.bbclass lays it out."""
    uris = "".join(f"    crate://crates.io/{crate.name}/{crate.version} \\\n" for crate in sdist.crates)
    sums = "".join(f'SRC_URI[{crate.name}-{crate.version}.sha256sum] = "{crate.sha256}"\n' for crate in sdist.crates)
    return f'{_NOTE}\nSRC_URI += "\\\n{uris}"\n\n{sums}'


def render_requirements(needs: Iterable[str], known: Known) -> str:
    """What the recipe of Tidegate itself needs at run time."""
    return f"{_NOTE}\n{_listed('RDEPENDS:${PN}', known.recipe_names(needs), '+=')}"


def render_version(version: str) -> str:
    """What tells the layer which version of Tidegate it builds."""
    return f"# Made by `make yocto` from pyproject.toml.\n\n{_assign('TIDEGATE_VERSION', version)}"


def _build_class(sdist: Sdist) -> str:
    if sdist.backend not in _CLASSES:
        raise BuildError(
            f"{sdist.name}: the class for the back end {sdist.backend} isn't known; add it to image/yocto/recipe.py"
        )
    return _CLASSES[sdist.backend]


def _tools(sdist: Sdist) -> Iterable[str]:
    for requirement in sdist.build_requires:
        if requirement.marker is None:
            yield re.sub(r"[-_.]+", "-", requirement.name).lower()


def _native(tool: str) -> str:
    return f"python3-{tool}-native"


def _newer_wanted(sdist: Sdist, known: Known) -> bool:
    for requirement, tool in zip((r for r in sdist.build_requires if r.marker is None), _tools(sdist), strict=True):
        if tool not in known.backends:
            raise BuildError(
                f"{sdist.name}: which version of {tool} there is isn't known; add it to image/yocto/packages.toml"
            )
        if not requirement.specifier.contains(known.backends[tool]):
            return True
    return False


def _licence(sdist: Sdist, own: Package) -> str:
    stated = own.licence or sdist.licence
    if stated is None:
        raise BuildError(
            f"{sdist.name}: it states no licence as an expression; read it and add it to image/yocto/packages.toml"
        )
    return stated.replace(" OR ", " | ").replace(" AND ", " & ")


def _sentence(summary: str) -> str:
    return summary.replace("\\", "").replace('"', "'").rstrip(".")


def _assign(variable: str, value: str, operator: str = "=") -> str:
    return f'{variable} {operator} "{value}"\n'


def _listed(variable: str, values: list[str], operator: str = "=") -> str:
    if len(values) == 1:
        return _assign(variable, values[0], operator)
    return f'{variable} {operator} "\\\n' + "".join(f"    {value} \\\n" for value in values) + '"\n'
