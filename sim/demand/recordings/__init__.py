"""Recordings of real arrivals: read from many formats, checked row by row, mended where asked, stored as traces."""
