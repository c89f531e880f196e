"""Contact sheets, charts, HTML reports and the local web page."""
