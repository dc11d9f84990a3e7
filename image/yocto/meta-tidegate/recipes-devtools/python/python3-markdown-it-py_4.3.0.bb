# Made by `make yocto` from requirements/runtime.lock: change that, or image/yocto/packages.toml.
SUMMARY = "Python port of markdown-it. Markdown parsing, done right!"
HOMEPAGE = "https://github.com/executablebooks/markdown-it-py"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "\
    file://LICENSE;md5=a38a1697260a7ad7bf29f44b362db1fc \
    file://LICENSE.markdown-it;md5=4323c95e1014fb58368f2d4c2b78064b \
"

SRC_URI[sha256sum] = "91a58fa5b72c71a40cf7177250fd767480d7a2bb3ac426ccfb76fb90305fdaaa"

inherit pypi python_flit_core

PYPI_PACKAGE = "markdown_it_py"

RDEPENDS:${PN} += "python3-mdurl"

BBCLASSEXTEND = "native nativesdk"
