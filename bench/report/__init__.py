"""What people look at: tables, charts, pages. It renders and computes nothing."""
