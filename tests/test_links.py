from pathlib import Path

import pytest
from exports import many, write

from ragqa.wiki.dump_file import open_dump
from ragqa.wiki.links import Names, open_links


def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path) -> None:
    dump = write(tmp_path / "dump.xml", *many(3000))
    with (
        pytest.raises(
            OSError, match="full: links are kept in a temporary file, in the folder that SQLITE_TMPDIR names"
        ),
        open_links() as links,
        open_dump(dump, lambda _: None) as (site, entries),
    ):
        links._database.execute("PRAGMA max_page_count = 12")
        links.gather(Names(site), entries, {0}, members=True)
