"""The parts of the HTML report: what is drawn, what is listed in full; template, style and script lie beside."""
