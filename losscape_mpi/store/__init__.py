"""The surface file: layout, writer, reader and exchange with other tools."""
