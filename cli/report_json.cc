// Of json_values.h what looks into files: disk images and change logs.
#include <fmt/format.h>

#include "cli/json_values.h"

namespace asr {
namespace {

// Of bytes that anybody may have written.
std::string VisibleAscii(std::string text) {
  std::erase_if(text, [](char letter) { return letter <= ' ' || letter > '~'; });
  return text;
}

std::string KindName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kVhdFixed:
    case ImageFormat::kVhdxFixed:
      return "fixed";
    case ImageFormat::kVhdDynamic:
    case ImageFormat::kVhdxDynamic:
      return "dynamic";
    case ImageFormat::kVhdDifferencing:
    case ImageFormat::kVhdxDifferencing:
      return "differencing";
    case ImageFormat::kRaw:
    case ImageFormat::kQcow2:
      return "";
  }
  return "";
}

Json NumberOrNull(std::uint64_t number) { return number == 0 ? Json() : Json(number); }

// Only a VHDX has a log.
Json LogStateJson(const ImageDescription& image) {
  if (FormatName(image.format) != "vhdx") return {};
  return image.log_entry_count == 0 ? "clean" : "dirty";
}

}  // namespace

Json DiskReportJson(const DiskReport& report) {
  const ImageDescription& leaf = report.images.front();
  Json json;
  json["path"] = leaf.path;
  json["format"] = FormatName(report.format);
  json["kind"] = TextJson(KindName(report.format));
  json["sizeBytes"] = report.size_bytes;
  json["logicalSectorBytes"] = report.logical_sector_bytes;
  json["physicalSectorBytes"] = NumberOrNull(leaf.physical_sector_bytes);
  json["blockBytes"] = NumberOrNull(leaf.block_bytes);
  json["allocatedBytes"] = report.allocated_bytes;
  json["logState"] = LogStateJson(leaf);
  json["chain"] = Json::array();
  for (std::size_t i = 0; i < report.images.size(); ++i) {
    const ImageDescription& image = report.images[i];
    Json entry;
    entry["path"] = image.path;
    entry["format"] = FormatName(image.format);
    entry["kind"] = TextJson(KindName(image.format));
    entry["sizeBytes"] = image.size_bytes;
    entry["fileBytes"] = report.file_bytes[i];
    entry["id"] = TextJson(image.id);
    entry["parentIds"] = image.parent_ids;
    entry["logState"] = LogStateJson(image);
    json["chain"].push_back(std::move(entry));
  }
  json["problems"] = Json::array();
  for (const std::string& problem : report.problems) {
    Json entry;
    entry["message"] = problem;
    json["problems"].push_back(std::move(entry));
  }
  return json;
}

Json LogReportJson(const LogReport& report, const std::string& path) {
  const HrlHeader& header = report.summary.header;
  const auto guid = [](const Guid& value) {
    return value == Guid{} ? Json() : Json(GuidText(value));
  };
  Json json;
  json["path"] = path;
  json["state"] = header.is_closed() ? "closed" : "open";
  json["version"] = header.version >> 16;
  json["creator"] = VisibleAscii(header.creator);
  json["created"] = FormatTime(header.created);
  json["lastModified"] = FormatTime(header.last_modified);
  json["id"] = guid(header.id);
  json["previousId"] = guid(header.previous_id);
  json["dataWriteGuid"] = guid(header.data_write_guid);
  json["entries"] = header.entry_count;
  json["blocks"] = header.is_closed() ? Json(report.block_count) : Json();
  json["dataBytes"] = header.is_closed() ? Json(report.data_bytes) : Json();
  json["checksummedBytes"] = report.checksummed_bytes;
  json["fileBytes"] = report.summary.file_bytes;
  json["problems"] = Json::array();
  const auto add = [&](const std::string& message) {
    Json entry;
    entry["message"] = message;
    json["problems"].push_back(std::move(entry));
  };
  for (const std::string& warning : report.summary.warnings) add(warning);
  if (!header.is_closed()) add("it was not closed: nobody knows whether it is whole");
  if (header.error != 0) {
    add(fmt::format("its writer met the error {:#x}", static_cast<std::uint32_t>(header.error)));
  }
  return json;
}

}  // namespace asr
