"""How far a crawl has come, for another thread that shows it and may stop it."""

from threading import Event


class Monitor:
    """Counts requests and pages of a crawl, and stops it on request or after `max_pages` pages."""

    def __init__(self, max_pages: int | None = None) -> None:
        self.max_pages = max_pages
        self.requests = self.pages = 0  # sent; fetched
        self.reason = ""  # why the crawl was stopped
        self.stopped = Event()

    def stop(self, reason: str) -> None:
        """End the crawl: waiting requests raise `CrawlError` at once. Only the first reason is kept."""
        self.reason = self.reason or reason
        self.stopped.set()

    def count_page(self) -> None:
        """Count a page that was fetched."""
        self.pages += 1
        if self.pages == self.max_pages:
            self.stop(f"it has fetched the most pages allowed ({self.pages:,})")
