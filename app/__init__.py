"""The Flutter app: a client of the API for desktops, browsers and telephones, written with Flet."""
