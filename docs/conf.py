# SPDX-License-Identifier: Apache-2.0
"""Sphinx: built by ``make docs``, where every warning is an error."""

import importlib.metadata
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import os_vif

# oslo.versionedobjects imports eventlet, by way of oslo.messaging.
warnings.filterwarnings("ignore", r"\s+Eventlet is deprecated")

# autodoc documents the versioned objects too, which exist only from here on.
os_vif.initialize()

project = "os-vif"
author = "the os-vif authors"
project_copyright = f"%Y, {author}"
release = importlib.metadata.version("os-vif")
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc", "myst_parser", "pictures"]
exclude_patterns = ["_build"]
needs_sphinx = "8.1"

html_theme = "furo"
html_title = f"os-vif {release}"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["phone.css"]
html_show_sphinx = False

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"

# `config.py` and `tap0` are no program, and a double hyphen is an option's.
smartquotes = False
highlight_language = "none"
