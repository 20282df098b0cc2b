"""What Gradio finds when it is imported: its temporary folder and the settings of proxies."""

import atexit
import os
import shutil
import sys
import tempfile

from ragqa.errors import InputError

TEMPORARY = "GRADIO_TEMP_DIR"
NO_PROXY = "no_proxy"


def prepare_gradio() -> None:
    """Import Gradio with a temporary folder of its own and without proxies. Raises `InputError` if no folder can be made."""
    _use_own_folder()
    if "gradio" not in sys.modules:
        _import_without_proxies()


def _use_own_folder() -> None:
    """Give Gradio an empty folder that only this user can read and that is removed at exit, unless the variable names one.

    Its default is a folder `gradio` that all users of the machine share, and that only the first of them can write.
    """
    if os.environ.get(TEMPORARY):
        return
    try:
        folder = tempfile.mkdtemp(prefix="ragqa-demo-")
    except OSError as error:
        raise InputError(f"no temporary folder can be made ({error}); name one in TMPDIR") from error
    os.environ[TEMPORARY] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _import_without_proxies() -> None:
    """Import Gradio. It makes an HTTP client that the chat never uses, and that fails for SOCKS proxies."""
    before = os.environ.get(NO_PROXY)
    os.environ[NO_PROXY] = "*"
    try:
        import gradio  # noqa: F401
    finally:
        if before is None:
            del os.environ[NO_PROXY]
        else:
            os.environ[NO_PROXY] = before
